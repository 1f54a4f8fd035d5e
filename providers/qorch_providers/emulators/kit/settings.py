"""Reads the options of ``qorch emulate`` into the settings of an emulator."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import msgspec

from qorch.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def read_options(options: Mapping[str, str], settings: type[T], *, emulator: str) -> T:
    """Settings from options by name, as the command line has them. Raises UsageError for an unknown or wrong one."""
    known = [field.name for field in fields(settings)]
    for name in options:
        if name not in known:
            raise UsageError(f"the {emulator} emulator has no option '{name}'; it has {', '.join(known)}")
    try:
        return msgspec.convert(dict(options), settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"an option of the {emulator} emulator is wrong: {error}") from error


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise UsageError if the value of an option is not one of the choices."""
    if value not in choices:
        raise UsageError(f"--{name.replace('_', '-')} must be one of {', '.join(choices)}, not '{value}'")
