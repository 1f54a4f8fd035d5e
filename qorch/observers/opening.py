"""Makes observers of their names, from the installed entry points, and of what users give."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points

from qorch.config import Config
from qorch.errors import MissingPackageError, UnknownNameError, UsageError
from qorch.ports.observer import Observer

GROUP = "qorch.observers"
"""The group of entry points. Each names a function ``open_observer(options, *, environment)`` that returns the Observer
of one run: ``options`` is what follows the colon of its name, and it raises UsageError if they make no sense.
"""
LOG = "log"


def observer_entry_points() -> dict[str, EntryPoint]:
    """All installed observers by name."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}


def open_observers(given: Iterable[Observer | str], *, config: Config) -> list[Observer]:
    """The observers that are given, and those of the environment; each name once. None in quotes and dry runs.

    Raises UsageError for what is no observer, UnknownNameError for a name that is not installed, MissingPackageError if
    its extra is not; then those that were made are closed.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        kind = f"the text {given!r}" if isinstance(given, str) else f"a {type(given).__name__}"
        raise UsageError(f"observers is {kind}; give a list of it, in brackets")
    if config.is_rehearsal:
        return []
    wanted: list[Observer | str] = [*given, *config.observers]
    if config.log_file is not None:
        wanted.append(f"{LOG}:{config.log_file}")
    opened: list[Observer] = []
    names: set[str] = set()
    try:
        for each in wanted:
            if not isinstance(each, str):
                opened.append(_check(each))
            elif each not in names:
                names.add(each)
                opened.append(_open(each, config.environment))
    except BaseException:
        for observer in opened:
            with suppress(Exception):
                observer.close()
        raise
    return opened


def _check(observer: Observer) -> Observer:
    is_class = isinstance(observer, type)
    if is_class or not all(callable(getattr(observer, name, None)) for name in ("observe", "close")):
        kind = f"the class {observer.__name__}" if isinstance(observer, type) else f"a {type(observer).__name__}"
        raise UsageError(f"observers has {kind}; give names, or objects with the methods of qorch.RunObserver")
    return observer


def _open(name: str, environment: Mapping[str, str]) -> Observer:
    kind, _, options = name.partition(":")
    known = observer_entry_points()
    if kind not in known:
        raise UnknownNameError(f"there is no observer '{kind}'; installed are: {', '.join(known)}")
    try:
        open_observer = known[kind].load()
    except ImportError as error:
        package = "'qorch[otel]'" if known[kind].module.startswith("qorch.") else error.name
        raise MissingPackageError(f"observer '{kind}' needs {error.name}: pip install {package}") from error
    observer: Observer = open_observer(options, environment=environment)
    return _check(observer)
