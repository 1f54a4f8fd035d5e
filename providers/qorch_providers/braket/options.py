"""What stands behind `braket:`: the device, how circuits are run on it, and how the account is used."""

import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypedDict

import msgspec

from qorch.errors import UnknownNameError, UsageError
from qorch.model.money import Money
from qorch.ports.policy import OnUnknown
from qorch_providers.options import Dollars, as_dollars, read_options

MAX_EXECUTABLES = 10_000
_CHOICES = (
    "among verbatim=on|off, rewiring=on|off, debiasing=on|off, region=REGION, rows=N, jobs=N, settle=SECONDS,"
    " tokens=SECONDS, on_unknown=hold|resubmit, deadline=SECONDS, spending_limit=AMOUNT"
)
_TARGETS = MappingProxyType(
    {
        "sv1": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
        "dm1": "arn:aws:braket:::device/quantum-simulator/amazon/dm1",
        "garnet": "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet",
        "emerald": "arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald",
        "ibex-q1": "arn:aws:braket:eu-north-1::device/qpu/aqt/Ibex-Q1",
        "forte-1": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
        "forte-enterprise-1": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1",
        "ankaa-3": "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3",
        "cepheus-1-108q": "arn:aws:braket:us-west-1::device/qpu/rigetti/Cepheus-1-108Q",
    }
)
"""Short names of devices, and their ARNs."""
_SIMULATORS = "device/quantum-simulator/"


@dataclass(frozen=True)
class Options:
    """Parsed options.

    ``device_arn``: of the device. ``verbatim``: circuits are run as they are, in a verbatim box, so they must be made
    of the device's own gates. ``keeps_qubits``: the rewiring of qubits is disabled. ``debiasing``: of IonQ's machines.
    ``region``: of the endpoint, for simulators, whose ARN names none. ``rows``: most executables of one task. ``jobs``:
    most tasks in progress. ``settle_seconds``: after which every task is listed. ``remembered_seconds``: how long
    Braket is trusted to know a client token; Amazon documents no time. ``deadline_seconds``: the total for one call.
    ``spending_limit``: that the device is to have at Amazon before the first task is sent; None: as it is there.
    """

    device_arn: str
    verbatim: bool = False
    keeps_qubits: bool = False
    debiasing: bool = False
    region: str = ""
    rows: int | None = None
    jobs: int = 35
    settle_seconds: float = 30.0
    remembered_seconds: float = 600.0
    on_unknown: OnUnknown = OnUnknown.HOLD
    deadline_seconds: float = 60.0
    spending_limit: Money | None = None

    @property
    def is_simulator(self) -> bool:
        """Whether the device is one of Amazon's simulators, which charge by the time of a task."""
        return _SIMULATORS in self.device_arn

    @property
    def device_region(self) -> str:
        """The region that the ARN names; empty for a simulator."""
        return self.device_arn.split(":")[3]


def _one_of(*choices: str) -> msgspec.Meta:
    return msgspec.Meta(description=f"one of {', '.join(choices)}")


def _whole(most: int) -> msgspec.Meta:
    return msgspec.Meta(ge=1, le=most, description=f"a whole number from 1 to {most}")


Switch = Annotated[Literal["on", "off"], _one_of("on", "off")]
Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max, description="a number of seconds above 0")]
Remembered = Annotated[float, msgspec.Meta(ge=0.0, le=sys.float_info.max, description="a number of seconds, 0 or more")]
Region = Annotated[str, msgspec.Meta(pattern=r"\A[a-z]{2}(-[a-z]+)+-[0-9]+\Z", description="like us-east-1")]


class _Given(TypedDict, total=False):
    verbatim: Switch
    rewiring: Switch
    debiasing: Switch
    region: Region
    rows: Annotated[int, _whole(MAX_EXECUTABLES)]
    jobs: Annotated[int, _whole(1_000_000)]
    settle: Seconds
    tokens: Remembered
    on_unknown: Annotated[OnUnknown, _one_of(*OnUnknown)]
    deadline: Seconds
    spending_limit: Dollars


_FIELDS = MappingProxyType({"settle": "settle_seconds", "tokens": "remembered_seconds", "deadline": "deadline_seconds"})
"""Options whose field in Options has another name."""


def parse_options(text: str) -> Options:
    """Read a device and options separated by commas: ``"sv1"``, ``"garnet,rewiring=off"``, or a device's ARN first.

    Raises UnknownNameError for an unknown device or option, UsageError for a value that it cannot have or for options
    that do not go together.
    """
    target, _, rest = text.partition(",")
    arn = _read_target(target.strip())
    given: Any = read_options(rest, _Given, backend="braket", choices=_CHOICES)
    values: dict[str, Any] = {_FIELDS.get(name, name): value for name, value in given.items()}
    for name in ("verbatim", "debiasing"):
        if name in values:
            values[name] = values[name] == "on"
    if "rewiring" in values:
        values["keeps_qubits"] = values.pop("rewiring") == "off"
    if "spending_limit" in values:
        values["spending_limit"] = as_dollars(values["spending_limit"])
    options = Options(arn, **values)
    _check_combination(options)
    return options


def _read_target(target: str) -> str:
    if target.lower() in _TARGETS:
        return _TARGETS[target.lower()]
    parts = target.split(":")
    if len(parts) == 6 and parts[0] == "arn" and parts[2] == "braket" and parts[5].startswith("device/"):
        return target
    raise UnknownNameError(
        f"braket has no device '{target}'; choose {', '.join(_TARGETS)}, a device's ARN, or local for the simulator"
        " of Amazon's SDK on this machine"
    )


def _check_combination(options: Options) -> None:
    if options.is_simulator and options.spending_limit is not None:
        raise UsageError("Amazon Braket has spending limits for quantum computers alone; leave spending_limit= out")
    if options.is_simulator and (options.verbatim or options.keeps_qubits or options.debiasing):
        raise UsageError("verbatim=on, rewiring=off and debiasing=on are for quantum computers; leave them out")
    if options.region and options.device_region and options.region != options.device_region:
        raise UsageError(
            f"the device is in {options.device_region}, as its ARN says, and not in {options.region}; leave region= out"
        )
    if options.verbatim and not options.keeps_qubits:
        raise UsageError("verbatim=on runs circuits on the qubits that they name; add rewiring=off")
