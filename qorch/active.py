"""Where layers execute: the innermost ``with start_run(...)`` or ``with layer.eval_on(...)`` of this thread or task."""

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from qorch.errors import RunError

if TYPE_CHECKING:
    from qorch.evaluation import Evaluation
    from qorch.run import Run

_ACTIVE: ContextVar["Run | Evaluation | None"] = ContextVar("qorch_active_run", default=None)


def active_run() -> "Run | Evaluation":
    """The innermost run or evaluation. Raises RunError where there is none."""
    active = find_active()
    if active is None:
        raise RunError(
            "no run is active here; use `with qorch.start_run(...) as run:` or pass run=."
            ' To evaluate a layer without a run: `with layer.eval_on("local"):`'
        )
    return active


def find_active() -> "Run | Evaluation | None":
    """The innermost run or evaluation, None where there is none."""
    return _ACTIVE.get()


def activate(active: "Run | Evaluation") -> Token[Any]:
    """Make it the active one until ``deactivate`` is called with the token."""
    return _ACTIVE.set(active)


def deactivate(token: Token[Any]) -> None:
    """Make the one before it active again."""
    # A run may be left in another task or thread than it was entered in, where it never was active.
    with suppress(ValueError):
        _ACTIVE.reset(token)
