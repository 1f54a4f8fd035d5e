"""The options behind every backend's name are read in one way."""

from typing import Annotated, Literal, TypedDict

import msgspec
import pytest

from qorch.errors import UnknownNameError, UsageError
from qorch_providers.options import read_options


class Form(TypedDict, total=False):
    """Options of an imagined backend."""

    quick: bool
    mode: Literal["up", "down"]
    most: Annotated[int, msgspec.Meta(ge=1, le=9, description="a whole number from 1 to 9")]
    name: Annotated[str, msgspec.Meta(min_length=1)]


def read(text: str) -> Form:
    """With the choices as messages have them."""
    return read_options(text, Form, backend="demo", choices="among quick, mode=up|down, most=N, name=TEXT")


def test_what_is_given_is_read_by_its_type() -> None:
    """In any order, with blanks around the commas; what is not given is not there."""
    assert read("") == {}
    assert read("most=3, quick ,mode=up,name=a=b") == {"most": 3, "quick": True, "mode": "up", "name": "a=b"}


@pytest.mark.parametrize("part", ["fast", "mode", "mode=left", "quick=yes", "quick=", "most", "name="])
def test_what_there_is_not_is_an_unknown_option(part: str) -> None:
    """Unknown names, unknown values of a choice, and names without their value: the sentence has the choices."""
    with pytest.raises(UnknownNameError, match=rf"^demo has no option '{part}'; choose among quick, mode=up\|down"):
        read(f"most=1,{part}")


@pytest.mark.parametrize("value", ["0", "10", "1.5", "many", "", "nan"])
def test_a_value_that_cannot_be_says_what_it_must_be(value: str) -> None:
    """The sentence names the option as it was given."""
    sentence = f"^demo has the option 'most={value}'; the value must be a whole number from 1 to 9$"
    with pytest.raises(UsageError, match=sentence):
        read(f"most={value}")


def test_an_option_that_is_given_twice_is_refused() -> None:
    """Which of the two was meant is not guessed."""
    with pytest.raises(UsageError, match="demo has the option 'most' twice; give it once"):
        read("most=1,most=2")
