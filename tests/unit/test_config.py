"""What qorch reads of the environment, and what it says of the rest."""

import logging

import pytest

from qorch import config
from qorch.config import KNOWN_VARIABLES, read_config
from qorch.errors import UsageError


@pytest.fixture(autouse=True)
def _forget_warnings() -> None:
    config._warn_once.cache_clear()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("QORCH_WORKER", "did you mean QORCH_WORKERS?"),
        ("QORCH_XYZZY", "QORCH_DB, QORCH_DEBUG"),
    ],
)
def test_a_variable_that_is_not_read_is_named_once(name: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """One warning per process, with the variable that was probably meant; other programs' variables are ignored."""
    with caplog.at_level(logging.WARNING, logger="qorch"):
        for _ in range(2):
            read_config({name: "1", "PATH": "/bin", "MY_QORCH_X": "1"})
    (message,) = caplog.messages
    assert message.startswith(f"{name} is set, and takes no effect")
    assert said in message


def test_variables_that_are_read_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Every one that the manual of the command line lists."""
    with caplog.at_level(logging.WARNING, logger="qorch"):
        assert read_config(dict.fromkeys(KNOWN_VARIABLES, "1")).workers == 1
    assert caplog.messages == []


def test_a_number_of_workers_that_cannot_be_is_refused() -> None:
    """The message names the variable."""
    with pytest.raises(UsageError, match="QORCH_WORKERS is 'two'"):
        read_config({"QORCH_WORKERS": "two"})
