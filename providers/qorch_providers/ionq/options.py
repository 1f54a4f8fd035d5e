"""What stands behind `ionq:`: target, protocol version, gate set, noise and how the account is used."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qorch.errors import UnknownNameError, UsageError
from qorch.ports.policy import OnUnknown, Rate

QIS, NATIVE = "qis", "native"
MS, ZZ = "ms", "zz"
SIMULATOR, IDEAL = "simulator", "ideal"
VERSIONS = ("v0.4", "v0.3")
NOISE_MODELS = (IDEAL, "harmony", "harmony-1", "harmony-2", "aria-1", "aria-2", "forte-1", "forte-enterprise-1")
MAX_CIRCUITS = 5_000
MAX_SEED = (1 << 31) - 1

_TARGET = re.compile(r"simulator|qpu\.[a-z0-9][a-z0-9.-]{0,63}", re.ASCII)
_RATE = re.compile(r"([0-9]{1,9})/(s|min|h)", re.ASCII)
_INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
_UNIT_SECONDS = (("s", 1.0), ("min", 60.0), ("h", 3600.0))
_CHOICES = (
    "version=v0.4|v0.3, gateset=qis|native, two_qubit=ms|zz, noise=MODEL, seed=N, debiasing=on|off, dry_run=on|off,"
    " rows=N, jobs=N, rate=N/s|min|h, settle=SECONDS, on_unknown=hold|resubmit, deadline=SECONDS"
)


@dataclass(frozen=True)
class Options:
    """Parsed options.

    ``target``: ``simulator`` or ``qpu.<name>``. ``two_qubit``: the entangler of the native gate set; left empty it is
    the one of the machine that ``target`` or ``noise`` names, zz on Forte and ms elsewhere. ``noise``: the
    simulator's noise model, None and ``ideal`` being none. ``noise_seed``: makes noisy simulations repeatable; every
    job gets a seed of its own made from it. ``debiasing`` None: off, since debiased histograms are not counts.
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
    rows: int | None = None
    jobs: int = 100
    rate: Rate | None = None
    settle_seconds: float = 30.0
    on_unknown: OnUnknown | None = None
    deadline_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Choose the entangler where none was named."""
        if not self.two_qubit:
            is_forte = "forte" in (self.noise or self.target)
            object.__setattr__(self, "two_qubit", ZZ if is_forte else MS)

    @property
    def is_simulator(self) -> bool:
        """Whether the target is the free simulator."""
        return self.target == SIMULATOR

    @property
    def is_ideal(self) -> bool:
        """Whether answers are exact probabilities, of which qorch draws the shots itself."""
        return self.is_simulator and self.noise in (None, IDEAL)


def parse_options(text: str) -> Options:
    """Read a target and options separated by commas: ``"simulator"``, ``"qpu.forte-1,gateset=native,rate=5/min"``.

    Raises UnknownNameError for what is none of them, UsageError for values and combinations that cannot be.
    """
    target, *parts = (piece.strip() for piece in text.split(","))
    if not _TARGET.fullmatch(target):
        raise UnknownNameError(
            f"ionq has no target '{target}'; name one first, ionq:simulator or ionq:qpu.<name> such as ionq:qpu.forte-1"
        )
    values: dict[str, str] = {}
    for part in filter(None, parts):
        name, is_given, value = part.partition("=")
        if name not in _READERS or not is_given:
            raise UnknownNameError(f"ionq has no option '{part}'; choose among {_CHOICES}")
        if name in values:
            raise UsageError(f"ionq has the option '{name}' twice; give it once")
        values[name] = value
    named: dict[str, Any] = {_READERS[name][0]: _READERS[name][1](name, value) for name, value in values.items()}
    options = Options(target, **named)
    _check_combination(options)
    return options


def _check_combination(options: Options) -> None:
    if options.noise is not None and not options.is_simulator:
        raise UsageError(f"noise={options.noise} is for ionq:simulator; {options.target} has noise of its own")
    if options.noise_seed is not None and (options.noise is None or options.is_ideal):
        raise UsageError("seed= is the seed of the simulator's noise; name a noise model, such as noise=aria-1")
    if options.debiasing and options.is_ideal:
        raise UsageError("debiasing=on mitigates noise; the ideal simulator has none, so leave it out")
    if options.dry_run and options.version != "v0.4":
        raise UsageError("dry_run=on needs version=v0.4; an older server would run and bill the job")


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in choices:
            raise UsageError(f"ionq has the option '{name}={value}'; the value must be one of {', '.join(choices)}")
        return value

    return read


def _noise(name: str, value: str) -> str:
    if value not in NOISE_MODELS:
        raise UnknownNameError(f"ionq has no noise model '{value}'; choose among {', '.join(NOISE_MODELS)}")
    return value


def _switch(name: str, value: str) -> bool:
    return _one_of("on", "off")(name, value) == "on"


def _whole(most: int) -> Callable[[str, str], int]:
    def read(name: str, value: str) -> int:
        number = int(value) if _INTEGER.fullmatch(value) else 0
        if not 1 <= number <= most:
            raise UsageError(f"ionq has the option '{name}={value}'; the value must be a whole number from 1 to {most}")
        return number

    return read


def _seconds(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise UsageError(f"ionq has the option '{name}={value}'; the value must be a number of seconds above 0")
    return number


def _rate(name: str, value: str) -> Rate:
    found = _RATE.fullmatch(value)
    if found is None or int(found[1]) == 0:
        raise UsageError(f"ionq has the option '{name}={value}'; the value must be like 2/s, 5/min or 100/h")
    return Rate(int(found[1]), dict(_UNIT_SECONDS)[found[2]])


def _on_unknown(name: str, value: str) -> OnUnknown:
    return OnUnknown(_one_of(*(choice.value for choice in OnUnknown))(name, value))


_READERS: MappingProxyType[str, tuple[str, Callable[[str, str], object]]] = MappingProxyType(
    {
        "version": ("version", _one_of(*VERSIONS)),
        "gateset": ("gateset", _one_of(QIS, NATIVE)),
        "two_qubit": ("two_qubit", _one_of(MS, ZZ)),
        "noise": ("noise", _noise),
        "seed": ("noise_seed", _whole(MAX_SEED)),
        "debiasing": ("debiasing", _switch),
        "dry_run": ("dry_run", _switch),
        "rows": ("rows", _whole(MAX_CIRCUITS)),
        "jobs": ("jobs", _whole(1_000_000)),
        "rate": ("rate", _rate),
        "settle": ("settle_seconds", _seconds),
        "on_unknown": ("on_unknown", _on_unknown),
        "deadline": ("deadline_seconds", _seconds),
    }
)
