"""The run or evaluation in which layers execute: the innermost ``with`` block of this thread or task."""

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Protocol

from qorch.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qorch.gradients.recombination import Gradient
    from qorch.gradients.wanted import Wanted
    from qorch.model.arrays import FloatArray
    from qorch.model.pub import Batch, Pub
    from qorch.model.result import PubResult
    from qorch.ports.backend import Backend


class PubExecutor(Protocol):
    """What a layer needs of a run or an evaluation."""

    @property
    def backend(self) -> "Backend":
        """Where the rows execute."""
        ...

    def execute(self, pubs: "Batch | Pub | Iterable[Pub]") -> "list[PubResult]":
        """One result per pub, in order."""
        ...

    def gradients(self, pubs: "Sequence[Pub]", wanted: "Wanted", *, method: str = ...) -> "list[Gradient]":
        """The gradients of several pubs by their wanted parameters, as one batch; ``method``: by name."""
        ...

    def exact_vjp(self, pub: "Pub", cotangents: "FloatArray") -> "FloatArray":
        """Cotangents ``(N, K)`` times the exact Jacobian, ``(N, P)``."""
        ...


_ACTIVE: ContextVar[PubExecutor | None] = ContextVar("qorch_active_run", default=None)


def active_run() -> PubExecutor:
    """The innermost run or evaluation. Raises RunError if there is none."""
    active = find_active()
    if active is None:
        raise RunError(
            "no run is active here; use `with qorch.start_run(...) as run:` or pass run=."
            ' To evaluate a layer without a run: `with layer.eval_on("local"):`'
        )
    return active


def find_active() -> PubExecutor | None:
    """The innermost run or evaluation, None if there is none."""
    return _ACTIVE.get()


def activate(active: PubExecutor) -> Token[Any]:
    """Make it the active one until ``deactivate`` is called with the token."""
    return _ACTIVE.set(active)


def deactivate(token: Token[Any] | None) -> None:
    """Make the one before it active again; None was not activated."""
    if token is None:
        return
    # A run may be left in another task or thread than the one in which it was entered.
    with suppress(ValueError):
        _ACTIVE.reset(token)
