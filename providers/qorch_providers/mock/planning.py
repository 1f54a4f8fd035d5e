"""What a mock takes from the backend that it stands for: limits, packing, and what is billed, told without a key."""

from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from qorch.errors import CircuitError, MissingPackageError, UnknownNameError, UsageError
from qorch.model.backend_name import MOCK
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, Usage
from qorch.model.measurement import Measurement
from qorch.model.profiles.profile import DeviceLimits, Profile
from qorch.ports.backend import Capabilities, OfflinePlanner
from qorch_providers.mock.options import Options, parse_options
from qorch_providers.mock.shipped import choose_profile


def plan_offline(options: str) -> "MockPlanner":
    """See ``qorch.ports.backend.OfflinePlanner``. Raises UnknownNameError, UsageError or ConfigError."""
    parsed = parse_options(options)
    profile = choose_profile(parsed)
    return MockPlanner(f"{MOCK}:{options}", find_planner(parsed, profile))


def find_planner(options: Options, profile: Profile) -> OfflinePlanner:
    """The planner of the backend that is mocked, or for none, one with the limits of the profile.

    Raises UnknownNameError for a backend that is not installed, MissingPackageError without its packages, UsageError
    for one of which nothing is known before it is asked, or which is on this machine anyway.
    """
    if options.mocked is None:
        if profile.limits is None:
            raise UsageError(
                f"{MOCK}:cloud needs a profile with limits, which {profile.origin} does not have: add a table [limits]"
                " with max_qubits, max_shots, max_rows_per_job and source"
            )
        limits = profile.limits
        rows = min(options.rows or limits.max_rows_per_job, limits.max_rows_per_job)
        return LimitsPlanner(f"{MOCK}:cloud", replace(limits, max_rows_per_job=rows))
    kind, _, device = options.mocked.partition(":")
    planner = _load_planner(kind, device)
    if planner is None:
        raise UsageError(f"{options.mocked} runs on this machine and costs nothing: use it itself, without a mock")
    if planner.capabilities.estimates:
        raise UsageError(
            f"{options.mocked} answers with mitigated values, which a mock cannot simulate: leave out resilience="
        )
    return planner


def find_entry_point(kind: str) -> EntryPoint:
    """How the backends of a kind are opened. Raises UnknownNameError if none is installed."""
    found = {entry.name: entry for entry in entry_points(group="qorch.backends")}
    if kind not in found:
        known = ", ".join(sorted(found.keys() - {MOCK}))
        raise UnknownNameError(f"there is no backend '{kind}' that could be mocked; installed are: {known}")
    return found[kind]


def _load_planner(kind: str, options: str) -> OfflinePlanner | None:
    try:
        factory = getattr(import_module(find_entry_point(kind).module), "plan_offline", None)
        planner: OfflinePlanner | None = None if factory is None else factory(options)
    except ImportError as error:
        raise MissingPackageError(f"a mock of '{kind}' needs {error.name}: pip install 'qorch[{kind}]'") from error
    return planner


@dataclass(frozen=True)
class LimitsPlanner:
    """See OfflinePlanner: a backend of nothing but limits, where nothing is billed."""

    name: str
    limits: DeviceLimits
    assumptions = ()

    @property
    def capabilities(self) -> Capabilities:
        """See OfflinePlanner."""
        limits = self.limits
        return Capabilities(
            max_qubits=limits.max_qubits,
            max_shots=limits.max_shots,
            max_rows_per_job=limits.max_rows_per_job,
            slots=1,
            charges=False,
        )

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See OfflinePlanner."""
        if gates.n_qubits > self.limits.max_qubits:
            raise CircuitError(
                f"the circuit has {gates.n_qubits} qubits; {self.name} holds at most {self.limits.max_qubits}"
            )
        if measurement.is_exact or measurement.is_estimated:
            raise CircuitError(f"{self.name} has no exact values; give a number of shots")

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See OfflinePlanner."""
        return self.limits.max_rows_per_job

    def measure(self, request: JobRequest) -> Usage | None:
        """See OfflinePlanner."""
        return None


@dataclass(frozen=True)
class MockPlanner:
    """See OfflinePlanner: what the mocked backend's own planner says, under the name of the mock."""

    name: str
    planner: OfflinePlanner

    @property
    def capabilities(self) -> Capabilities:
        """See OfflinePlanner. Gradients of its own are the simulator's, and no part of what is mocked."""
        return replace(self.planner.capabilities, exact_gradients=False)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """See OfflinePlanner."""
        return (*self.planner.assumptions, f"{self.name} is a mock: nothing is sent, and nothing is charged")

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See OfflinePlanner."""
        self.planner.check(gates, measurement)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See OfflinePlanner."""
        return self.planner.rows_per_job(gates, measurement, shots=shots)

    def measure(self, request: JobRequest) -> Usage | None:
        """See OfflinePlanner."""
        return self.planner.measure(request)
