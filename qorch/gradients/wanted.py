"""Which derivatives are wanted: checks of a pub whose gradient is asked for, and of its parameters."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qorch.errors import ObservableError, ParameterError, UnknownNameError
from qorch.model.kinds import as_items, check_kind
from qorch.model.pub import Pub

BoolArray = npt.NDArray[np.bool_]

Wanted = Sequence[BoolArray | None]
"""For each pub one bool for each of its parameters, or None for all."""


def check_observables(pub: Pub) -> None:
    """Raise ObservableError if the pub has none."""
    if pub.observables == ():
        raise ObservableError("a gradient needs an observable; write for example observables=['Z0']")


def wanted_parameters(pub: Pub, names: Sequence[str] | None) -> BoolArray | None:
    """Which parameters these names are, ``(P,)``; None is all. Raises UnknownNameError for one that is not there."""
    check_kind(pub, Pub, "pub", wanted="a qorch.Pub")
    if names is None:
        return None
    names = [names] if isinstance(names, str) else as_items(names, "wanted", wanted="names of parameters")
    known = pub.circuit.parameters
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise UnknownNameError(f"the circuit has no parameter '{name}'; it has {', '.join(known)}")
    return np.array([name in names for name in known])


def as_wanted(wanted: BoolArray | None, pub: Pub) -> BoolArray:
    """One bool for each parameter of the pub; None is all of them. Raises ParameterError for another array."""
    n_parameters = len(pub.circuit.parameters)
    if wanted is None:
        return np.ones(n_parameters, dtype=np.bool_)
    chosen = np.asarray(wanted)
    if chosen.dtype != np.bool_ or chosen.shape != (n_parameters,):
        raise ParameterError(
            f"wanted is an array of {chosen.dtype} of shape {chosen.shape}; it must hold one bool for each of"
            f" the {n_parameters} parameters"
        )
    return chosen


def names_of(pub: Pub, wanted: BoolArray) -> tuple[str, ...]:
    """The names of the wanted parameters, in order."""
    return tuple(name for name, is_wanted in zip(pub.circuit.parameters, wanted, strict=True) if is_wanted)
