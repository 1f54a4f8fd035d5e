"""Which run is active: that of the innermost ``with start_run(...)`` in this thread or task."""

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from qorch.errors import RunError

if TYPE_CHECKING:
    from qorch.run import Run

_ACTIVE: ContextVar["Run | None"] = ContextVar("qorch_active_run", default=None)


def active_run() -> "Run":
    """The run of the innermost ``with start_run(...)``. Raises RunError where there is none."""
    run = _ACTIVE.get()
    if run is None:
        raise RunError("no run is active here; use `with qorch.start_run(...) as run:` or pass run=")
    return run


def activate(run: "Run") -> Token["Run | None"]:
    """Make it the active run until ``deactivate`` is called with the token."""
    return _ACTIVE.set(run)


def deactivate(token: Token["Run | None"]) -> None:
    """Make the run before it the active one again."""
    # A run may be left in another task or thread than it was entered in, where it never was active.
    with suppress(ValueError):
        _ACTIVE.reset(token)
