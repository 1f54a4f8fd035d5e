"""How an emulator of Amazon Braket behaves: every option of ``qorch emulate braket``, as text, with its default."""

from collections.abc import Mapping
from dataclasses import dataclass

from qorch.errors import UsageError
from qorch_providers.emulators.kit.clock import MOST_AHEAD_SECONDS
from qorch_providers.emulators.kit.faults import OBJECTS, Fault, parse_faults
from qorch_providers.emulators.kit.settings import check_choice, read_options

ROUTES = (
    "any", "post", "get", "list", "cancel", "device", "devices", "tags", "limit", "limits", "results", "objects",
    "identity", "other",
)  # fmt: skip
"""The names of routes in faults and limits.

``post``, ``get``, ``list``, ``cancel``: Create-, Get-, Search- and CancelQuantumTask. ``limits``: SearchSpendingLimits;
``limit``: its Create, Update and Delete. ``results``: GET and HEAD of an object in S3; ``objects``: all other calls of
S3. ``identity``: STS. ``other``: unknown paths.
"""

QUOTAS = "any:140/600,post:20/40,list:5/50,get:100/500,cancel:2/20,device:5/50,devices:5/50"
RETRY_AFTER_FORMS = ("seconds", "date", "none")
RESULT_SHAPES = ("inline", "parts")
_SWITCH = ("on", "off")


@dataclass(frozen=True)
class BraketSettings:
    """All options.

    ``queue``, ``execute``, ``network``, ``accept_delay``, ``time_scale``, ``clock_ahead``, ``workers``, ``rate_limit``,
    ``faults``: as those of the other emulators (see `kit`); all seconds are protocol seconds. ``quotas``: calls per
    second and burst by route; empty for none. ``concurrent``: tasks that each simulator takes at a time.
    ``token_seconds``: how long a `clientToken` is remembered. ``visible_seconds``: from a task's acceptance until GET
    and search know it. ``access_key``: the only key id that is let in; any if empty. ``program_sets``: the devices that
    declare program sets, with ``max_executables`` and ``max_total_shots``. ``gates``: the only ones that circuits may
    have, in Braket's words, such as ``h,rx,cz``; those of each device if empty. ``results``: whether results of program
    sets are one object or many. ``offline``: devices, each with a window if it has one, such as ``garnet@10..60,sv1``.
    ``retired``: devices. ``denied``: buckets that the caller may not use, or, as ``NAME:read``, not read. ``noise``:
    whether QPUs have it. ``poll_milliseconds``: the interval that devices suggest to clients. ``price``: see `money`.
    ``kept_result_bytes``: the oldest objects beyond are forgotten, and answered with 404.
    """

    host: str = "127.0.0.1"
    port: int = 0
    queue: str = "0"
    execute: str = "0"
    network: str = "0"
    accept_delay: str = "0"
    workers: int = 0
    rate_limit: str = ""
    retry_after: str = "none"
    time_scale: float = 1.0
    clock_ahead: float = 0.0
    faults: str = ""
    results: str = "inline"
    price: str = ""
    seed: int = 0
    quotas: str = QUOTAS
    concurrent: int = 35
    token_seconds: float = 86_400.0
    visible_seconds: float = 0.0
    access_key: str = ""
    account: str = "000000000000"
    program_sets: str = "garnet,forte-1,ankaa-3"
    max_executables: int = 100
    max_total_shots: int = 200_000
    gates: str = ""
    offline: str = ""
    retired: str = ""
    denied: str = ""
    noise: str = "on"
    poll_milliseconds: int = 1000
    kept_result_bytes: int = 512 * 1024 * 1024

    def __post_init__(self) -> None:
        """Raise UsageError for values outside their range."""
        check_choice("retry_after", self.retry_after, RETRY_AFTER_FORMS)
        check_choice("results", self.results, RESULT_SHAPES)
        check_choice("noise", self.noise, _SWITCH)
        if not 0.0 < self.time_scale <= 1e6:
            raise UsageError(f"--time-scale must be above 0 and at most 1e6, not {self.time_scale}")
        if not abs(self.clock_ahead) <= MOST_AHEAD_SECONDS:
            raise UsageError(f"clock-ahead must be within a day, in seconds, not {self.clock_ahead}")
        if self.workers < 0 or self.seed < 0 or not 0 <= self.port < 65536:
            raise UsageError("--workers, --seed and --port must be 0 or more, and a port below 65536")
        if min(self.concurrent, self.max_executables, self.max_total_shots, self.poll_milliseconds) < 1:
            raise UsageError("concurrent, max-executables, max-total-shots and poll-milliseconds must be above 0")


def read_settings(options: Mapping[str, str]) -> BraketSettings:
    """Settings from options by name, as the command line has them. Raises UsageError for an unknown or wrong one."""
    return read_options(options, BraketSettings, emulator="braket")


def read_faults(text: str) -> tuple[Fault, ...]:
    """Faults with the routes of these services. Raises UsageError."""
    return parse_faults(text, routes=ROUTES, results_route="results", post_route="post", more_kinds=OBJECTS)
