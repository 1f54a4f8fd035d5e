"""Parameter values by name, as Qiskit's primitives take them: ``{"w": array}`` becomes one array of rows."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from qorch.errors import ParameterError
from qorch.model.arrays import AnyArray, FloatArray, as_numbers

_ELEMENT = re.compile(r"(?P<vector>.+)\[(?P<index>[0-9]+)\]", re.DOTALL)


def as_array(bindings: Mapping[Any, Any], *, parameters: Sequence[str]) -> FloatArray:
    """Values ``(…, P)`` in the order of ``parameters``, from values by parameter.

    A key is a Qiskit Parameter or its name, whose values have any shape ``(…)``; or a ParameterVector, its name,
    or a tuple of parameters, whose values have shape ``(…, n)`` for n parameters. As in Qiskit, a last dimension of
    1 under a single parameter is dropped. The leading shapes are broadcast against each other as NumPy does.

    Raises ParameterError if a parameter is missing, unknown or given twice, or if the shapes do not fit.
    """
    columns: dict[str, AnyArray] = {}
    for key, given in bindings.items():
        names, is_single = _names_of(key, parameters)
        for name, column in zip(names, _split(given, key=key, width=len(names), is_single=is_single), strict=True):
            if name in columns:
                raise ParameterError(f"parameter '{name}' has values under two keys; give them once")
            columns[name] = column
    _check_names(columns, parameters)
    try:
        rows = np.broadcast_arrays(*(columns[name] for name in parameters))
    except ValueError as error:
        shapes = ", ".join(f"'{name}' {columns[name].shape}" for name in parameters[:4])
        raise ParameterError(f"the values of the parameters do not fit together: {shapes}; {error}") from error
    return np.stack(rows, axis=-1) if rows else np.zeros(0)


def _check_names(given: Mapping[str, Any], parameters: Sequence[str]) -> None:
    known = ", ".join(parameters) or "none"
    unknown = [name for name in given if name not in parameters]
    missing = [name for name in parameters if name not in given]
    if unknown:
        raise ParameterError(f"the circuit has no parameter '{unknown[0]}'; its parameters are: {known}")
    if missing:
        raise ParameterError(f"parameter '{missing[0]}' has no value; the circuit's parameters are: {known}")


def _names_of(key: Any, parameters: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The names of the parameters that a key stands for, and whether it is a single Parameter."""
    if isinstance(key, str):
        return _named(key, parameters)
    if not isinstance(key, Iterable):
        return (_name_of(key),), True
    return tuple(_name_of(part) for part in key), False


def _name_of(key: Any) -> str:
    name = key if isinstance(key, str) else getattr(key, "name", None)
    if not isinstance(name, str):
        raise ParameterError(f"{key!r} is not a parameter; the keys are Qiskit parameters, their names, or tuples")
    return name


def _named(name: str, parameters: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The parameter of that name, or else all elements of the vector of that name, by their index."""
    if name in parameters:
        return (name,), True
    elements = {}
    for parameter in parameters:
        match = _ELEMENT.fullmatch(parameter)
        if match is not None and match.group("vector") == name:
            elements[int(match.group("index"))] = parameter
    if not elements:
        return (name,), True
    if sorted(elements) != list(range(len(elements))):
        raise ParameterError(
            f"the circuit has only some elements of the vector '{name}': {', '.join(elements.values())};"
            " give their values under their own names"
        )
    return tuple(elements[index] for index in range(len(elements))), False


def _split(given: Any, *, key: Any, width: int, is_single: bool) -> list[AnyArray]:
    """One array per parameter of a key, all of the same shape."""
    array = as_numbers(given, what=f"the values of {_label(key)}")
    if is_single:
        return [array[..., 0] if array.ndim and array.shape[-1] == 1 else array]
    if not array.ndim or array.shape[-1] != width:
        raise ParameterError(
            f"the values of {_label(key)} have shape {array.shape}; the last dimension must be {width},"
            " the number of its parameters"
        )
    return [array[..., index] for index in range(width)]


def _label(key: Any) -> str:
    name = getattr(key, "name", None)
    return f"'{name}'" if isinstance(name, str) else repr(key)
