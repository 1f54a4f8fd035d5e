"""A latency profile: the figures from which a mock draws times, closures and faults, each with its source."""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from qorch.model.backend_name import stem_of
from qorch.model.latency import Latency
from qorch.model.usage import UsageUnit

NOT_GIVEN = "not given: 0"
"""The source of a figure that a profile leaves out."""
_AT_ONCE = Latency()


@dataclass(frozen=True)
class TimeFigure:
    """A distribution of seconds. ``source``: where it comes from; ``observations``: of how many it was made, or 0."""

    seconds: Latency = _AT_ONCE
    source: str = NOT_GIVEN
    observations: int = 0


@dataclass(frozen=True)
class ShareFigure:
    """How many of 1 something happens to. ``source`` and ``observations`` as of TimeFigure."""

    share: float = 0.0
    source: str = NOT_GIVEN
    observations: int = 0


@dataclass(frozen=True)
class LatencyFigures:
    """How long things take.

    ``network``: a call's way there and back. ``acceptance``: what the server needs before it answers a submission;
    ``listing``: from then until its lists show the job. ``queue``: from the acceptance until the job could run.
    ``execution`` of a job, to which come ``per_execution`` and ``per_shot``, each times their number. ``result``: what
    fetching the results takes beyond any call. ``usage``: from a job's end until what it is charged for is told.
    ``silence``: how long a client waits for an answer that does not come; ``retry_after``: what a server that is busy
    names.
    """

    network: TimeFigure = TimeFigure()
    acceptance: TimeFigure = TimeFigure()
    listing: TimeFigure = TimeFigure()
    queue: TimeFigure = TimeFigure()
    execution: TimeFigure = TimeFigure()
    per_execution: TimeFigure = TimeFigure()
    per_shot: TimeFigure = TimeFigure()
    result: TimeFigure = TimeFigure()
    usage: TimeFigure = TimeFigure()
    silence: TimeFigure = TimeFigure()
    retry_after: TimeFigure = TimeFigure()


@dataclass(frozen=True)
class FaultFigures:
    """How often something goes wrong, as shares.

    Of all calls: ``busy``, answered with 429, and ``error``, with 503. Of submissions: ``lost_before`` and
    ``lost_after``, which get no answer, the job not accepted or accepted. Of questions: ``lost``. Of jobs: ``failed``
    and ``failed_for_good`` as a whole, ``partly_failed`` and ``partly_failed_for_good`` in some of several rows; what
    failed for good would fail again.
    """

    busy: ShareFigure = ShareFigure()
    error: ShareFigure = ShareFigure()
    lost_before: ShareFigure = ShareFigure()
    lost_after: ShareFigure = ShareFigure()
    lost: ShareFigure = ShareFigure()
    failed: ShareFigure = ShareFigure()
    failed_for_good: ShareFigure = ShareFigure()
    partly_failed: ShareFigure = ShareFigure()
    partly_failed_for_good: ShareFigure = ShareFigure()


@dataclass(frozen=True)
class ClosureFigures:
    """Calibration windows, in which no job is taken and none runs: ``every`` so long after the last one's begin.

    Of ``every`` the mean alone is used, so that the n-th window is known without the ones before; None: there are none.
    """

    every: TimeFigure
    lasts: TimeFigure


@dataclass(frozen=True)
class ProviderFacts:
    """What a provider does, told by its documents. See ``qorch.ports.policy.Terms`` for the first five.

    ``at_once``: how many jobs of one account its device runs side by side. ``tells_start``: whether it says when a job
    began to run. ``queue_step_seconds``: so many seconds of waiting are one place in the queue; None: it tells no
    place. ``usage``: what it counts of a job that is over; empty: it reports nothing.
    """

    settle_seconds: float = 30.0
    most_jobs: int = 100
    remembers_keys_seconds: float = 0.0
    rate_calls: int = 0
    rate_seconds: float = 1.0
    at_once: int = 1
    tells_start: bool = True
    queue_step_seconds: float | None = None
    usage: tuple[UsageUnit, ...] = ()
    source: str = NOT_GIVEN


@dataclass(frozen=True)
class DeviceLimits:
    """The limits of a backend that exists only as a mock."""

    max_qubits: int
    max_shots: int
    max_rows_per_job: int
    source: str


@dataclass(frozen=True)
class Profile:
    """See the module. ``backends``: patterns of the backends that it describes, by their names without options.

    ``limits``: only of one that describes no real backend. ``origin``: the file that it was read from.
    """

    name: str
    description: str
    backends: tuple[str, ...] = ()
    latencies: LatencyFigures = LatencyFigures()
    faults: FaultFigures = FaultFigures()
    closures: ClosureFigures | None = None
    facts: ProviderFacts = ProviderFacts()
    limits: DeviceLimits | None = None
    origin: str = field(default="", compare=False)

    def describes(self, backend: str) -> bool:
        """Whether it is meant for a backend."""
        return any(fnmatchcase(stem_of(backend), pattern) for pattern in self.backends)

    def without_faults(self) -> "Profile":
        """The same times, and nothing goes wrong."""
        return replace(self, faults=FaultFigures())
