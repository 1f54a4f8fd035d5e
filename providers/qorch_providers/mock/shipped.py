"""Finds the latency profile of a mock: the user's own file, or the one that comes with qorch for a backend."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from qorch.errors import ConfigError, UnknownNameError
from qorch.model.backend_name import is_mock, mocked_name, stem_of
from qorch.model.profiles.profile import Profile
from qorch.model.profiles.reading import read_profile
from qorch_providers.mock.options import CLOUD, Options

_MOST_BYTES = 1_000_000
GENERAL = CLOUD
"""The profile of backends for which there is no other."""


def choose_profile(options: Options) -> Profile:
    """The profile that the options name, or that fits the mocked backend. Raises ConfigError for a wrong file."""
    if options.profile:
        return read_file(Path(options.profile))
    return find_shipped(options.mocked) if options.mocked else _shipped()[GENERAL]


def find_shipped(backend: str) -> Profile:
    """The shipped profile that describes a backend, or else the general one."""
    return next((each for each in _shipped().values() if each.describes(backend)), _shipped()[GENERAL])


def load_profile(name: str) -> Profile:
    """A profile by its name, by a backend's (or mock's) name, or by the path of a file that ends in ``.toml``.

    Raises UnknownNameError if there is none, ConfigError for a wrong file.
    """
    if name.lower().endswith(".toml") and not is_mock(name):
        return read_file(Path(name))
    if name in _shipped():
        return _shipped()[name]
    backend = mocked_name(name) or stem_of(name)
    fitting = next((each for each in _shipped().values() if each.describes(backend)), None)
    if fitting is None:
        known = ", ".join(sorted(_shipped()))
        raise UnknownNameError(
            f"there is no profile '{name}'; there are {known}, those of backends by their names, and files (*.toml)"
        )
    return fitting


def read_file(path: Path) -> Profile:
    """The profile in a file of the user's. Raises ConfigError if it cannot be read, naming file and line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the profile {path} cannot be read: {error.strerror or error}") from error
    if len(raw) > _MOST_BYTES:
        raise ConfigError(f"the profile {path} has {len(raw):,} bytes; at most {_MOST_BYTES:,} are read: shorten it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: it is not UTF-8; save it as UTF-8") from error
    return read_profile(text, name=path.stem, origin=str(path))


@cache
def _shipped() -> dict[str, Profile]:
    """All profiles that are installed, by name; they do not change while a process runs."""
    folder = files(__package__) / "profiles"
    found = (file for file in folder.iterdir() if file.name.endswith(".toml"))
    profiles = (
        read_profile(file.read_text(encoding="utf-8"), name=file.name.removesuffix(".toml"), origin=str(file))
        for file in found
    )
    return {profile.name: profile for profile in sorted(profiles, key=lambda each: each.name)}
