"""What stands behind `ibm:`: the device, how circuits are compiled and run, and how the account is used."""

import sys
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec

from qorch.errors import UnknownNameError, UsageError
from qorch.ports.policy import OnUnknown
from qorch_providers.ibm.mitigation import CHOICES, NAMES, Mitigation, MitigationGiven, read_mitigation
from qorch_providers.options import read_options

LEAST_BUSY = "least-busy"
"""The target that stands for the device with the fewest waiting jobs when the backend is opened."""
FAKE_PREFIX = "fake_"
"""Targets that begin so are simulated on this machine, with the noise of a recorded device."""
MAX_EXECUTIONS = 10_000_000
"""Rows times shots of one job, as IBM documents it."""
MAX_SECONDS = 10_800
"""The longest time of a job on the device, as IBM documents it."""
MAX_TTL_SECONDS = 28_800
"""The longest that a session or batch may stay open, as IBM documents it."""
MIN_TTL_SECONDS = 600
"""Sessions are told apart by their longest time (see ``jobs.sessions``); shorter ones leave too little room for it."""
CHANNELS = ("ibm_quantum_platform", "ibm_cloud", "ibm_quantum")
"""The channels of a saved account; the last one is the old name of the first."""
_CHOICES = (
    "among optimization=0..3, seed=N, layout=Q-Q-…, fractional=on|off, dd=off|XX|XpXm|XY4,"
    " twirling=off|gates|measure|all, rep_delay=SECONDS, program=executor|sampler|estimator, max_time=SECONDS,"
    " mode=job|batch|session, max_ttl=SECONDS, instance=CRN, channel=NAME, account=NAME, rows=N, jobs=N,"
    f" settle=SECONDS, on_unknown=hold|resubmit, deadline=SECONDS, {CHOICES}"
)


class IbmProgram(StrEnum):
    """The program of IBM's that runs a job's circuits.

    EXECUTOR runs them as they are: what the client's sampler of today submits to. SAMPLER is the one that the client's
    deprecated SamplerV2 submits to; it twirls and decouples on the server. ESTIMATOR does that, too, mitigates errors,
    and answers with expectation values and standard errors: EstimatorV2 submits to it, which is deprecated as well.
    """

    EXECUTOR = "executor"
    SAMPLER = "sampler"
    ESTIMATOR = "estimator"


class Decoupling(StrEnum):
    """The sequence of dynamical decoupling that the sampler puts where qubits are idle."""

    OFF = "off"
    XX = "XX"
    XPXM = "XpXm"
    XY4 = "XY4"


class Twirling(StrEnum):
    """What the sampler twirls with random Pauli gates."""

    OFF = "off"
    GATES = "gates"
    MEASURE = "measure"
    ALL = "all"


class ExecutionMode(StrEnum):
    """How jobs wait for the device: each by itself, as a batch that is run together, or with the device reserved."""

    JOB = "job"
    BATCH = "batch"
    SESSION = "session"


@dataclass(frozen=True)
class Options:
    """Parsed options.

    ``target``: a device's name, LEAST_BUSY, or a fake device's name. ``optimization``, ``seed`` and ``layout`` (the
    physical qubit of each qubit of a circuit; empty: the transpiler chooses) are the transpiler's. ``has_fractional``:
    circuits may use the device's fractional gates. ``decoupling``, ``twirling``: what sampler and estimator do to
    circuits. ``mitigation``: what the estimator does beside that; None: counts are asked of another program.
    ``rep_delay_seconds``: between two shots; None is the device's default. ``max_seconds``: of the device for one job,
    after which IBM cancels it. ``mode``: of execution; ``max_ttl_seconds``: the longest that a session or batch may
    stay open, after which another one is opened. ``instance``: a CRN or the name of an instance, ``channel`` and
    ``account`` those of a saved account; empty: what the environment or the account file says. ``rows``: most
    executions of one job. ``jobs``: most jobs in progress. ``settle_seconds``: after which every job and session is
    listed. ``deadline_seconds``: the total for one call.
    """

    target: str
    optimization: int = 2
    seed: int = 1
    layout: tuple[int, ...] = ()
    has_fractional: bool = False
    decoupling: Decoupling = Decoupling.OFF
    twirling: Twirling = Twirling.OFF
    rep_delay_seconds: float | None = None
    program: IbmProgram = IbmProgram.EXECUTOR
    mitigation: Mitigation | None = None
    max_seconds: int = 1200
    mode: ExecutionMode = ExecutionMode.JOB
    max_ttl_seconds: int = MAX_TTL_SECONDS
    instance: str = ""
    channel: str = ""
    account: str = ""
    rows: int | None = None
    jobs: int = 100
    settle_seconds: float = 30.0
    on_unknown: OnUnknown = OnUnknown.HOLD
    deadline_seconds: float = 60.0

    @property
    def is_fake(self) -> bool:
        """Whether the target is simulated on this machine."""
        return self.target.startswith(FAKE_PREFIX)


def _one_of(*choices: str) -> msgspec.Meta:
    return msgspec.Meta(description=f"one of {', '.join(choices)}")


def _whole(most: int, least: int = 1) -> msgspec.Meta:
    return msgspec.Meta(ge=least, le=most, description=f"a whole number from {least} to {most}")


Switch = Annotated[Literal["on", "off"], _one_of("on", "off")]
Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max, description="a number of seconds above 0")]
Delay = Annotated[float, msgspec.Meta(ge=0.0, le=1.0, description="a number of seconds from 0 to 1, such as 0.00025")]
Qubits = Annotated[
    str, msgspec.Meta(pattern=r"\A[0-9]{1,4}(-[0-9]{1,4})*\Z", description="physical qubits such as 0-1-3")
]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400, description="a text of up to 400 characters")]


class _Given(MitigationGiven, total=False):
    optimization: Annotated[int, _whole(3, least=0)]
    seed: Annotated[int, _whole((1 << 31) - 1, least=0)]
    layout: Qubits
    fractional: Switch
    dd: Annotated[Decoupling, _one_of(*Decoupling)]
    twirling: Annotated[Twirling, _one_of(*Twirling)]
    rep_delay: Delay
    program: Annotated[IbmProgram, _one_of(*IbmProgram)]
    max_time: Annotated[int, _whole(MAX_SECONDS)]
    mode: Annotated[ExecutionMode, _one_of(*ExecutionMode)]
    max_ttl: Annotated[int, _whole(MAX_TTL_SECONDS, least=MIN_TTL_SECONDS)]
    instance: Text
    channel: Annotated[Literal["ibm_quantum_platform", "ibm_cloud", "ibm_quantum"], _one_of(*CHANNELS)]
    account: Text
    rows: Annotated[int, _whole(MAX_EXECUTIONS)]
    jobs: Annotated[int, _whole(1_000_000)]
    settle: Seconds
    on_unknown: Annotated[OnUnknown, _one_of(*OnUnknown)]
    deadline: Seconds


_TWIRLED = (Twirling.OFF, Twirling.MEASURE, Twirling.ALL)
"""What IBM twirls at each level of resilience."""
_FIELDS = MappingProxyType(
    {
        "dd": "decoupling",
        "rep_delay": "rep_delay_seconds",
        "max_time": "max_seconds",
        "max_ttl": "max_ttl_seconds",
        "settle": "settle_seconds",
        "deadline": "deadline_seconds",
    }
)
"""Options whose field in Options has another name."""
_OF_FAKES = frozenset({"optimization", "seed", "layout", "fractional"})
"""Options that concern a simulated device, too."""


def parse_options(text: str) -> Options:
    """Read a target and options separated by commas: ``"ibm_fez"``, ``"least-busy,optimization=3"``, ``"fake_fez"``.

    Raises UnknownNameError for an unknown target or option, UsageError for a value that it cannot have or for options
    that do not go together.
    """
    target, _, rest = text.partition(",")
    given: Any = read_options(rest, _Given, backend="ibm", choices=_CHOICES)
    values: dict[str, Any] = {_FIELDS.get(name, name): value for name, value in given.items() if name not in NAMES}
    if "fractional" in values:
        values["has_fractional"] = values.pop("fractional") == "on"
    if "layout" in values:
        values["layout"] = tuple(map(int, values["layout"].split("-")))
    mitigating = {name: value for name, value in given.items() if name in NAMES}
    program = values.setdefault("program", _choose_program(values, mitigating))
    if program is IbmProgram.ESTIMATOR:
        values["mitigation"] = read_mitigation(mitigating)
        values["twirling"] = _twirl_for(values["mitigation"], values.get("twirling"))
    options = Options(_read_target(target.strip()), **values)
    _check_combination(options, given=frozenset(given))
    return options


def _choose_program(values: dict[str, Any], mitigating: dict[str, Any]) -> IbmProgram:
    """The program that does what is asked for; the one that does least if nothing is."""
    if mitigating:
        return IbmProgram.ESTIMATOR
    is_altered = {values.get(name, Decoupling.OFF) for name in ("decoupling", "twirling")} - {"off"}
    return IbmProgram.SAMPLER if is_altered else IbmProgram.EXECUTOR


def _twirl_for(mitigation: Mitigation, wanted: Twirling | None) -> Twirling:
    """What is twirled by default at a level, as IBM does it. Raises UsageError for less than the mitigation needs."""
    if wanted is None:
        usual = _TWIRLED[mitigation.level]
        return Twirling.MEASURE if mitigation.measure and usual is Twirling.OFF else usual
    if mitigation.measure and wanted not in (Twirling.MEASURE, Twirling.ALL):
        raise UsageError(
            f"misreadings are mitigated by twirling measurements, and twirling={wanted} does not; write"
            " twirling=measure or twirling=all, or measure_mitigation=off"
        )
    return wanted


def _read_target(target: str) -> str:
    name = target.lower()
    if name == LEAST_BUSY or name.replace("_", "").isalnum():
        return name
    raise UnknownNameError(
        f"ibm has no device '{target}'; choose a device's name such as ibm_fez, {LEAST_BUSY} for the one with the"
        " fewest waiting jobs, or fake_fez to simulate a recorded one on this machine"
    )


def _check_combination(options: Options, *, given: frozenset[str]) -> None:
    if len(set(options.layout)) < len(options.layout):
        raise UsageError("layout= names a physical qubit twice; give each qubit of the circuit one of its own")
    if options.program is IbmProgram.EXECUTOR and (options.decoupling != "off" or options.twirling != "off"):
        raise UsageError("dd= and twirling= are not done by IBM's executor; leave program=executor out")
    if options.mode is ExecutionMode.JOB and "max_ttl" in given:
        raise UsageError("max_ttl= is of sessions and batches; add mode=session or mode=batch, or leave it out")
    if options.has_fractional and options.twirling in (Twirling.GATES, Twirling.ALL):
        known = " (twirling=measure; resilience=2 twirls gates by default)" if options.mitigation else ""
        raise UsageError(f"IBM cannot twirl fractional gates; leave fractional=on or the twirling of gates out{known}")
    if given & NAMES and options.mitigation is None:
        raise UsageError(f"{min(given & NAMES)}= is done by IBM's estimator alone; write program=estimator")
    if options.is_fake and given - _OF_FAKES:
        unused = ", ".join(sorted(given - _OF_FAKES))
        raise UsageError(f"{options.target} is simulated on this machine and has no option {unused}; leave it out")
