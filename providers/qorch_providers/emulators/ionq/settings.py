"""How an emulator of IonQ's service behaves: every option of ``qorch emulate ionq``, as text, with its default."""

from collections.abc import Mapping
from dataclasses import dataclass

from qorch.errors import UsageError
from qorch_providers.emulators.ionq.documents import RESULT_SHAPES
from qorch_providers.emulators.kit.clock import MOST_AHEAD_SECONDS
from qorch_providers.emulators.kit.faults import Fault, parse_faults
from qorch_providers.emulators.kit.settings import check_choice, read_options

ROUTES = (
    "any", "post", "get", "list", "results", "cancel", "delete", "cost", "estimate", "backends", "open", "sessions",
    "whoami", "other",
)  # fmt: skip
"""The names of routes in faults and limits.

``results`` are results and artifacts, ``open`` is the opening of a session and ``sessions`` all other calls about them,
``other`` are unknown paths.
"""

RETRY_AFTER_FORMS = ("seconds", "date", "none")


@dataclass(frozen=True)
class Settings:
    """All options.

    ``queue``, ``execute``, ``network``, ``accept_delay``: latencies (see `latency`) in protocol seconds; ``time_scale``
    of these pass in one real second. ``clock_ahead``: by how many real seconds all dates are fast. Reported durations
    are in protocol seconds; `submitted_at`, `Date` and `truth` are in real time. A limit per minute is per protocol
    minute; `Retry-After` is in real seconds, rounded up. ``network``: half before a call is handled, half after.
    ``accept_delay``: from a POST's arrival until the job is accepted, whether the client still waits or not.
    ``workers``: jobs that execute side by side, 0 for any number. ``rate_limit``, ``faults``, ``price``: see `rates`,
    `faults`, `money`. ``cost_delay``: from the end of a job until `GET /jobs/{id}/cost` tells its cost. ``results``:
    both, url or artifact. ``api_key``: the only key that is accepted; "" accepts any. ``list_children``: whether lists
    have children although no parent is named (what the real service does is not known). ``kept_result_bytes``: the
    oldest results beyond are dropped, and answered with 404.
    """

    host: str = "127.0.0.1"
    port: int = 0
    queue: str = "0"
    execute: str = "0"
    network: str = "0"
    accept_delay: str = "0"
    workers: int = 0
    rate_limit: str = ""
    retry_after: str = "seconds"
    time_scale: float = 1.0
    clock_ahead: float = 0.0
    faults: str = ""
    results: str = "both"
    price: str = ""
    cost_delay: str = "0"
    seed: int = 0
    api_key: str = ""
    list_children: bool = False
    kept_result_bytes: int = 512 * 1024 * 1024

    def __post_init__(self) -> None:
        """Raise UsageError for values outside their range."""
        check_choice("retry_after", self.retry_after, RETRY_AFTER_FORMS)
        check_choice("results", self.results, RESULT_SHAPES)
        if not 0.0 < self.time_scale <= 1e6:
            raise UsageError(f"--time-scale must be above 0 and at most 1e6, not {self.time_scale}")
        if not abs(self.clock_ahead) <= MOST_AHEAD_SECONDS:
            raise UsageError(f"clock-ahead must be within a day, in seconds, not {self.clock_ahead}")
        if self.workers < 0 or self.seed < 0 or not 0 <= self.port < 65536:
            raise UsageError("--workers, --seed and --port must be 0 or more, and a port below 65536")


def read_settings(options: Mapping[str, str]) -> Settings:
    """Settings from options by name, as the command line has them. Raises UsageError for an unknown or wrong one."""
    return read_options(options, Settings, emulator="ionq")


def read_faults(text: str) -> tuple[Fault, ...]:
    """Faults with the routes of this service. Raises UsageError."""
    return parse_faults(text, routes=ROUTES, results_route="results", post_route="post")
