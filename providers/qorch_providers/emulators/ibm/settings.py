"""How an emulator of IBM Quantum behaves: every option of ``qorch emulate ibm``, as text, with its default."""

from collections.abc import Mapping
from dataclasses import dataclass

from qorch.errors import UsageError
from qorch_providers.emulators.kit.clock import MOST_AHEAD_SECONDS
from qorch_providers.emulators.kit.faults import Fault, parse_faults
from qorch_providers.emulators.kit.settings import check_choice, read_options

ROUTES = (
    "any", "post", "get", "list", "results", "cancel", "delete", "tags", "metrics", "logs", "backends", "device",
    "usage", "open", "session", "workloads", "identity", "search", "catalog", "other",
)  # fmt: skip
"""The names of routes in faults and limits.

``post``, ``get``, ``list``, ``results``, ``cancel``, ``delete``, ``tags``, ``metrics``, ``logs``: calls on jobs.
``device``: configuration, properties and status of one backend. ``usage``: of an instance. ``open``: POST of a session
or batch; ``session``: the other calls on one. ``identity``: IAM. ``search``, ``catalog``: where instances are looked
up. ``other``: unknown paths.
"""

DEVICES = "ibm_fez,ibm_torino,ibm_marrakesh,ibm_lagos,ibm_manila"
INSTANCES = "first=pay-as-you-go@us-east,second=open@eu-de/600"
RETRY_AFTER_FORMS = ("seconds", "date", "none")
_SWITCH = ("on", "off")


@dataclass(frozen=True)
class IbmSettings:
    """All options.

    ``queue``, ``execute``, ``network``, ``accept_delay``, ``time_scale``, ``clock_ahead``, ``rate_limit``, ``faults``:
    as those of the other emulators (see `kit`); all seconds are protocol seconds. ``workers``: jobs that each device
    runs side by side, 0 for any number. ``devices``: names of those that exist, each with a record in
    qiskit-ibm-runtime. ``retired``: devices that are not there any more. ``maintenance``: devices, each with a window,
    such as ``ibm_fez@10..60``, in which they run no job. ``noise``: whether results have the devices' noise.
    ``fractional``: whether devices have their `rx` and `rzz`. ``calibration_seconds``: how long a calibration lasts, 0
    for ever. ``instances``: see `instances`; ``posts_per_minute``: submissions per minute in all instances, 0 for any
    number. ``max_running``: QPU seconds that a job may take if it does not say so itself. ``interactive_seconds``: how
    long a session stays active without a job; ``max_ttl``: seconds that a session or batch may stay open. ``usage``:
    QPU seconds of a job, see `money`; ``usage_delay``: from the end of a job until its usage is complete; ``price``:
    dollars per QPU second, instead of those of the plans that charge. ``api_key``: the only key that is let in, any if
    empty; ``token_seconds``: how long a token lasts; ``token_delay``: how long it takes to get one.
    ``visible_seconds``: from the acceptance of a job or session until lists know it. ``kept_bytes``: inputs and results
    of the oldest jobs beyond are forgotten, and results answered with 404.
    """

    host: str = "127.0.0.1"
    port: int = 0
    queue: str = "0"
    execute: str = "0"
    network: str = "0"
    accept_delay: str = "0"
    workers: int = 1
    rate_limit: str = ""
    retry_after: str = "none"
    time_scale: float = 1.0
    clock_ahead: float = 0.0
    faults: str = ""
    price: str = ""
    seed: int = 0
    devices: str = DEVICES
    retired: str = ""
    maintenance: str = ""
    noise: str = "on"
    fractional: str = "on"
    calibration_seconds: float = 0.0
    instances: str = INSTANCES
    posts_per_minute: int = 5
    max_running: int = 10_800
    interactive_seconds: float = 60.0
    max_ttl: int = 28_800
    usage: str = ""
    usage_delay: str = "1"
    api_key: str = ""
    token_seconds: float = 3600.0
    token_delay: str = "0"  # noqa: S105 -- a time
    visible_seconds: float = 0.0
    kept_bytes: int = 512 * 1024 * 1024

    def __post_init__(self) -> None:
        """Raise UsageError for values outside their range."""
        check_choice("retry_after", self.retry_after, RETRY_AFTER_FORMS)
        check_choice("noise", self.noise, _SWITCH)
        check_choice("fractional", self.fractional, _SWITCH)
        if not 0.0 < self.time_scale <= 1e6:
            raise UsageError(f"--time-scale must be above 0 and at most 1e6, not {self.time_scale}")
        if not abs(self.clock_ahead) <= MOST_AHEAD_SECONDS:
            raise UsageError(f"clock-ahead must be within a day, in seconds, not {self.clock_ahead}")
        if min(self.workers, self.seed, self.posts_per_minute) < 0 or not 0 <= self.port < 65536:
            raise UsageError("--workers, --seed, --port and posts-per-minute must be 0 or more, and a port below 65536")
        if min(self.max_running, self.max_ttl, self.interactive_seconds, self.token_seconds) <= 0:
            raise UsageError("max-running, max-ttl, interactive-seconds and token-seconds must be above 0")
        if self.calibration_seconds < 0.0:
            raise UsageError(f"calibration-seconds must be 0 or more, not {self.calibration_seconds}")


def read_settings(options: Mapping[str, str]) -> IbmSettings:
    """Settings from options by name, as the command line has them. Raises UsageError for an unknown or wrong one."""
    return read_options(options, IbmSettings, emulator="ibm")


def read_faults(text: str) -> tuple[Fault, ...]:
    """Faults with the routes of this service. Raises UsageError."""
    return parse_faults(text, routes=ROUTES, results_route="results", post_route="post")
