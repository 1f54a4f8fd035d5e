"""Opens backends by name, from the installed entry points."""

from importlib.metadata import EntryPoint, entry_points

from qorch.config import Config
from qorch.errors import MissingPackageError, UnknownNameError, UsageError
from qorch.ports.backend import Backend
from qorch.ports.clock import Clock


def backend_entry_points() -> dict[str, EntryPoint]:
    """All installed backends by the first part of their names."""
    return {entry.name: entry for entry in sorted(entry_points(group="qorch.backends"))}


def open_backend(name: str, *, config: Config, clock: Clock) -> Backend:
    """The backend of that name, such as ``aer`` or ``aer:noise=fake_fez``.

    Raises UnknownNameError for another name, MissingPackageError if its extra is not installed.
    """
    kind, _, options = name.partition(":")
    known = backend_entry_points()
    if kind not in known:
        raise UnknownNameError(f"there is no backend '{name}'; installed are: {', '.join(known)}")
    try:
        factory = known[kind].load()
    except ImportError as error:
        raise MissingPackageError(f"backend '{kind}' needs {error.name}: pip install 'qorch[{kind}]'") from error
    backend: Backend = factory(options, clock=clock, workers=config.workers, environment=config.environment)
    return backend


def find_backend(backend: str | Backend, *, config: Config, clock: Clock) -> Backend:
    """The backend of a name, or the one that is given. Raises UsageError for anything else, and as ``open_backend``."""
    if isinstance(backend, str):
        return open_backend(backend, config=config, clock=clock)
    if not hasattr(backend, "capabilities"):
        raise UsageError(f"backend is a {type(backend).__name__}; give a name such as 'local', or a Backend")
    return backend
