"""Opens backends by name, from the installed entry points."""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from qorch.config import REHEARSAL, Config
from qorch.errors import MissingPackageError, UnknownNameError, UsageError
from qorch.model.backend_name import MOCK, kind_of
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, Usage
from qorch.model.measurement import Measurement
from qorch.model.profiles.profile import Profile
from qorch.ports.backend import Backend, Capabilities, OfflinePlanner, RemoteBackend, measure_job
from qorch.ports.clock import Clock


def backend_entry_points() -> dict[str, EntryPoint]:
    """All installed backends by the first part of their names."""
    return {entry.name: entry for entry in sorted(entry_points(group="qorch.backends"))}


def find_entry_point(name: str) -> EntryPoint:
    """The entry point of a backend by its full name. Raises UnknownNameError if nothing of that kind is installed."""
    known = backend_entry_points()
    kind = kind_of(name)
    if kind not in known:
        raise UnknownNameError(f"there is no backend '{name}'; installed are: {', '.join(known)}")
    return known[kind]


def open_backend(name: str, *, config: Config, clock: Clock) -> Backend:
    """The backend of that name, such as ``aer`` or ``aer:noise=fake_fez``.

    Raises UnknownNameError for another name, MissingPackageError if its extra is not installed, UsageError for one
    that sends jobs if this process belongs to a quote or dry run.
    """
    kind, _, options = name.partition(":")
    entry = find_entry_point(name)
    try:
        factory = entry.load()
    except ImportError as error:
        raise MissingPackageError(f"backend '{kind}' needs {error.name}: pip install 'qorch[{kind}]'") from error
    backend: Backend = factory(options, clock=clock, workers=config.workers, environment=config.environment)
    if config.is_rehearsal and isinstance(backend, RemoteBackend):
        raise UsageError(
            f"{name} is not opened here: `qorch quote` and `qorch dry-run` rehearse a program, and what is started in"
            f" processes of its own is not rehearsed; take that by itself (or unset {REHEARSAL})"
        )
    return backend


def find_backend(backend: str | Backend, *, config: Config, clock: Clock) -> Backend:
    """The backend of a name, or the one that is given. Raises UsageError for anything else, and as ``open_backend``."""
    if isinstance(backend, str):
        return open_backend(backend, config=config, clock=clock)
    if not hasattr(backend, "capabilities"):
        raise UsageError(f"backend is a {type(backend).__name__}; give a name such as 'local', or a Backend")
    return backend


def plan_offline(name: str, *, config: Config, clock: Clock) -> OfflinePlanner:
    """What tells the jobs of a backend and their usage, without a key and without a network.

    That is what ``plan_offline(options)`` of the backend's package makes, or the backend itself, which is not opened.
    Raises UnknownNameError for another name, MissingPackageError if its extra is not installed, UsageError if nothing
    can be told of it before it is asked.
    """
    entry = find_entry_point(name)
    kind, _, options = name.partition(":")
    try:
        module = import_module(entry.module)
        factory = getattr(module, "plan_offline", None)
        planner: OfflinePlanner | None = factory(options) if factory is not None else None
    except ImportError as error:
        raise MissingPackageError(f"backend '{kind}' needs {error.name}: pip install 'qorch[{kind}]'") from error
    return planner or UnopenedBackend(open_backend(name, config=config, clock=clock))


def load_profile(name: str) -> Profile:
    """A latency profile by its name, by the name of a backend that it describes, or by the path of a file (.toml).

    Raises UnknownNameError if there is none, ConfigError for a wrong file.
    """
    module = import_module(find_entry_point(MOCK).module)
    profile: Profile = module.load_profile(name)
    return profile


class UnopenedBackend:
    """See OfflinePlanner: a backend of this machine, whose limits are known before it is opened."""

    assumptions = ()

    def __init__(self, backend: Backend) -> None:
        """Start nothing."""
        self._backend = backend

    @property
    def name(self) -> str:
        """See OfflinePlanner."""
        return self._backend.name

    @property
    def capabilities(self) -> Capabilities:
        """See OfflinePlanner."""
        return self._backend.capabilities

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See OfflinePlanner."""
        self._backend.check(gates, measurement)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See OfflinePlanner."""
        return self._backend.rows_per_job(gates, measurement, shots=shots)

    def measure(self, request: JobRequest) -> Usage | None:
        """See OfflinePlanner."""
        return measure_job(self._backend, request)
