"""The options behind a backend's name, such as ``engine=torch,readout=0.02,cuda``, read by the types of a TypedDict."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from qorch.errors import UnknownNameError, UsageError
from qorch.model.money import Money, parse_money

Given = TypeVar("Given", bound=Mapping[str, Any])

_DOLLARS = re.compile(r"\A[0-9]{1,7}(\.[0-9]{1,2})? ?USD\Z")
Dollars = Annotated[str, msgspec.Meta(pattern=_DOLLARS.pattern, description="an amount in dollars such as 25USD")]
"""The type of an option that is an amount of money, for ``as_dollars``."""


def as_dollars(text: str) -> Money:
    """The value of an option of the type Dollars."""
    return parse_money(f"{text.removesuffix('USD').strip()} USD")


def read_options(text: str, form: type[Given], *, backend: str, choices: str) -> Given:
    """What ``text`` gives of the options in ``form``, a TypedDict without required keys.

    A ``bool`` is given by its name alone, all others as ``name=value``. Raises UnknownNameError for an option that is
    not in the form, and UsageError for one that is given twice. A value that does not fit its type is a UsageError if
    the type says what "the value must be" (``msgspec.Meta(description=…)``); otherwise it counts as an unknown option.
    """
    kinds = get_type_hints(form, include_extras=True)
    given: dict[str, object] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = part.partition("=")
        kind = kinds.get(name)
        if kind is None or (kind is bool) == bool(equals):
            raise _unknown(part, backend, choices)
        if name in given:
            raise UsageError(f"{backend} has the option '{name}' twice; give it once")
        try:
            given[name] = kind is bool or msgspec.convert(value.strip(), kind, strict=False)
        except msgspec.ValidationError as error:
            description = _description(kind)
            if not description:
                raise _unknown(part, backend, choices) from error
            raise UsageError(f"{backend} has the option '{part}'; the value must be {description}") from error
    return cast("Given", given)


def _unknown(part: str, backend: str, choices: str) -> UnknownNameError:
    return UnknownNameError(f"{backend} has no option '{part}'; choose {choices}")


def _description(kind: object) -> str:
    """What the values of a type are called in messages; empty if it does not say."""
    if get_origin(kind) is not Annotated:
        return ""
    notes = [note.description for note in get_args(kind)[1:] if isinstance(note, msgspec.Meta)]
    return next(filter(None, notes), "")
