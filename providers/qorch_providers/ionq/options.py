"""What stands behind `ionq:`: target, protocol version, gate set, noise, limits, and how the account is used."""

import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypedDict

import msgspec

from qorch.errors import UnknownNameError, UsageError
from qorch.model.money import Money
from qorch.ports.policy import OnUnknown, Rate
from qorch_providers.options import Dollars, as_dollars, read_options

QIS, NATIVE = "qis", "native"
MS, ZZ = "ms", "zz"
SIMULATOR, IDEAL = "simulator", "ideal"
VERSIONS = ("v0.4", "v0.3")
NOISE_MODELS = (IDEAL, "harmony", "harmony-1", "harmony-2", "aria-1", "aria-2", "forte-1", "forte-enterprise-1")
MAX_CIRCUITS = 5_000
MAX_SEED = (1 << 31) - 1
LEAST_COST = Money("USD", 100_000)
"""Of a session: IonQ is asked for up to a cent less than that (see ``jobs.sessions``)."""
MAX_TTL_SECONDS = 7 * 86_400
MINUTE_SECONDS = 60
"""IonQ limits sessions by whole minutes."""

_TARGET = re.compile(r"simulator|qpu\.[a-z0-9][a-z0-9.-]{0,63}", re.ASCII)
_RATE = re.compile(r"\A0{0,8}[1-9][0-9]{0,8}/(s|min|h)\Z")
_UNIT_SECONDS = (("s", 1.0), ("min", 60.0), ("h", 3600.0))
_CHOICES = (
    "among version=v0.4|v0.3, gateset=qis|native, two_qubit=ms|zz, noise=MODEL, seed=N, debiasing=on|off,"
    " dry_run=on|off, mode=job|session, max_cost=AMOUNT, max_jobs=N, max_ttl=SECONDS, rows=N, jobs=N, rate=N/s|min|h,"
    " settle=SECONDS, on_unknown=hold|resubmit, deadline=SECONDS"
)


class JobMode(StrEnum):
    """Whether jobs run each by itself, or in a session of IonQ's, which has limits of its own."""

    JOB = "job"
    SESSION = "session"


@dataclass(frozen=True)
class Options:
    """Parsed options.

    ``target``: ``simulator`` or ``qpu.<name>``. ``two_qubit``: the entangler of the native gate set; left empty it is
    the one of the machine that ``target`` or ``noise`` names, zz on Forte and ms elsewhere. ``noise``: the
    simulator's noise model, None and ``ideal`` being none. ``noise_seed``: makes noisy simulations repeatable; every
    job gets a seed of its own made from it. ``debiasing`` None: off, since debiased histograms are not counts.
    ``mode``: session for jobs in sessions, which IonQ ends at ``max_cost``, ``max_jobs`` or ``max_ttl_seconds``,
    whatever is reached first; None: that is not limited.
    ``rows``: most rows of one job; 1 sends them unpacked. ``jobs``: most jobs in progress. ``rate``: a hard limit of
    submissions. ``deadline_seconds``: the total for one call.
    """

    target: str
    version: str = "v0.4"
    gateset: str = QIS
    two_qubit: str = ""
    noise: str | None = None
    noise_seed: int | None = None
    debiasing: bool | None = None
    dry_run: bool = False
    mode: JobMode = JobMode.JOB
    max_cost: Money | None = None
    max_jobs: int | None = None
    max_ttl_seconds: int | None = None
    rows: int | None = None
    jobs: int = 100
    rate: Rate | None = None
    settle_seconds: float = 30.0
    on_unknown: OnUnknown | None = None
    deadline_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Choose the entangler if none was named."""
        if not self.two_qubit:
            is_forte = "forte" in (self.noise or self.target)
            object.__setattr__(self, "two_qubit", ZZ if is_forte else MS)

    @property
    def is_simulator(self) -> bool:
        """Whether the target is the free simulator."""
        return self.target == SIMULATOR

    @property
    def has_session_limits(self) -> bool:
        """Whether a session is to have any limit."""
        return (self.max_cost, self.max_jobs, self.max_ttl_seconds) != (None, None, None)

    @property
    def is_ideal(self) -> bool:
        """Whether answers are exact probabilities, of which qorch draws the shots itself."""
        return self.is_simulator and self.noise in (None, IDEAL)


def _one_of(*choices: str) -> msgspec.Meta:
    return msgspec.Meta(description=f"one of {', '.join(choices)}")


def _whole(most: int) -> msgspec.Meta:
    return msgspec.Meta(ge=1, le=most, description=f"a whole number from 1 to {most}")


Switch = Annotated[Literal["on", "off"], _one_of("on", "off")]
Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max, description="a number of seconds above 0")]


class _Given(TypedDict, total=False):
    version: Annotated[Literal["v0.4", "v0.3"], _one_of(*VERSIONS)]
    gateset: Annotated[Literal["qis", "native"], _one_of(QIS, NATIVE)]
    two_qubit: Annotated[Literal["ms", "zz"], _one_of(MS, ZZ)]
    noise: str
    seed: Annotated[int, _whole(MAX_SEED)]
    debiasing: Switch
    dry_run: Switch
    mode: Annotated[JobMode, _one_of(*JobMode)]
    max_cost: Dollars
    max_jobs: Annotated[int, _whole(1_000_000)]
    max_ttl: Annotated[int, _whole(MAX_TTL_SECONDS)]
    rows: Annotated[int, _whole(MAX_CIRCUITS)]
    jobs: Annotated[int, _whole(1_000_000)]
    rate: Annotated[str, msgspec.Meta(pattern=_RATE.pattern, description="like 2/s, 5/min or 100/h")]
    settle: Seconds
    on_unknown: Annotated[OnUnknown, _one_of(*OnUnknown)]
    deadline: Seconds


_FIELDS = MappingProxyType(
    {
        "seed": "noise_seed",
        "max_ttl": "max_ttl_seconds",
        "settle": "settle_seconds",
        "deadline": "deadline_seconds",
    }
)
"""Options whose field in Options has another name."""


def parse_options(text: str) -> Options:
    """Read a target and options separated by commas: ``"simulator"``, ``"qpu.forte-1,gateset=native,rate=5/min"``.

    Raises UnknownNameError for what is none of them, UsageError for values and combinations that cannot be.
    """
    target, _, rest = text.partition(",")
    target = target.strip()
    if not _TARGET.fullmatch(target):
        raise UnknownNameError(
            f"ionq has no target '{target}'; name one first, ionq:simulator or ionq:qpu.<name> such as ionq:qpu.forte-1"
        )
    given = read_options(rest, _Given, backend="ionq", choices=_CHOICES)
    values: dict[str, Any] = {_FIELDS.get(name, name): value for name, value in given.items()}
    for name in ("debiasing", "dry_run"):
        if name in values:
            values[name] = values[name] == "on"
    if "rate" in values:
        values["rate"] = _as_rate(values["rate"])
    if "max_cost" in values:
        values["max_cost"] = as_dollars(values["max_cost"])
    options = Options(target, **values)
    _check_combination(options)
    _check_session(options)
    return options


def _as_rate(text: str) -> Rate:
    calls, _, unit = text.partition("/")
    return Rate(int(calls), dict(_UNIT_SECONDS)[unit])


def _check_combination(options: Options) -> None:
    if options.noise is not None and options.noise not in NOISE_MODELS:
        raise UnknownNameError(f"ionq has no noise model '{options.noise}'; choose among {', '.join(NOISE_MODELS)}")
    if options.noise is not None and not options.is_simulator:
        raise UsageError(f"noise={options.noise} is for ionq:simulator; {options.target} has noise of its own")
    if options.noise_seed is not None and (options.noise is None or options.is_ideal):
        raise UsageError("seed= is the seed of the simulator's noise; name a noise model, such as noise=aria-1")
    if options.debiasing and options.is_ideal:
        raise UsageError("debiasing=on mitigates noise; the ideal simulator has none, so leave it out")
    if options.dry_run and options.version != "v0.4":
        raise UsageError("dry_run=on needs version=v0.4; an older server would run and bill the job")


def _check_session(options: Options) -> None:
    if options.mode is JobMode.JOB:
        if options.has_session_limits:
            raise UsageError("max_cost=, max_jobs= and max_ttl= are limits of a session; add mode=session")
        return
    if options.is_simulator or options.version != "v0.4":
        raise UsageError("mode=session is for IonQ's machines with version=v0.4; leave it out, or name another target")
    if not options.has_session_limits:
        raise UsageError("mode=session needs a limit: max_cost=25USD, max_jobs=N or max_ttl=SECONDS")
    if options.max_cost is not None and options.max_cost.micros < LEAST_COST.micros:
        raise UsageError(f"max_cost= must be at least {LEAST_COST}, not {options.max_cost}")
    if (options.max_ttl_seconds or 0) % MINUTE_SECONDS:
        raise UsageError(f"max_ttl={options.max_ttl_seconds} must be whole minutes, such as max_ttl=3600")
