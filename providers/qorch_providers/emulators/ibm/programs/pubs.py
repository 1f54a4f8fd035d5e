"""The PUBs of the sampler and estimator programs: circuits with arrays of parameter values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.ibm.programs.circuits import DeviceCircuit, read_device_circuit
from qorch_providers.emulators.ibm.programs.values import array_value, read_array, read_circuit, typed
from qorch_providers.emulators.kit.clock import format_iso
from qorch_providers.emulators.statevector.matrices import Floats


@dataclass(frozen=True)
class BoundPub:
    """A circuit with its values ``(R, P)``, whose rows have the shape ``shape``."""

    circuit: DeviceCircuit
    values: Floats
    shape: tuple[int, ...]
    metadata: Mapping[str, object]


def read_bound(circuit: object, values: object, device: IbmMachine) -> BoundPub:
    """The first items of a PUB. Raises UsageError, CircuitError."""
    read = read_circuit(circuit)
    if isinstance(values, dict) and "__type__" not in values:
        values = _in_order(values, [parameter.name for parameter in read.parameters])
    return bind(read_device_circuit(read, device), values, read.metadata or {})


def bind(circuit: DeviceCircuit, values: object, metadata: Mapping[str, object]) -> BoundPub:
    """A circuit with an array of values ``(..., P)``. Raises UsageError."""
    array = np.zeros(0) if values is None else read_array(values)
    if array.ndim == 0 or array.shape[-1] != circuit.n_parameters:
        raise UsageError(f"the circuit has {circuit.n_parameters} parameters; values of shape {array.shape} do not fit")
    shape = array.shape[:-1]
    return BoundPub(circuit, array.reshape(math.prod(shape), circuit.n_parameters), shape, metadata)


def _in_order(values: Mapping[str, object], names: list[str]) -> Floats:
    """Values by name, as one array; a value by the name of a vector is the values of its elements."""
    columns: dict[str, Floats] = {}
    for name, value in values.items():
        array = read_array(value)
        if name in names:
            columns[name] = array
            continue
        elements = [each for each in names if each.startswith(f"{name}[")]
        columns.update({each: array[..., index] for index, each in enumerate(elements)})
    if set(columns) != set(names):
        raise UsageError(f"the circuit has the parameters {', '.join(names)}, not {', '.join(values)}")
    return np.stack([columns[name] for name in names], axis=-1) if names else np.zeros(0)


def time_value(unix: float) -> dict[str, object]:
    """A time with its type."""
    return typed("datetime", format_iso(unix).replace("Z", "+00:00"))


def pub_value(kind: str, shape: tuple[int, ...], fields: Mapping[str, object], metadata: object) -> dict[str, object]:
    """The result of one PUB."""
    data = typed("DataBin", {"field_names": list(fields), "shape": list(shape), "fields": dict(fields)})
    return typed(kind, {"data": data, "metadata": metadata})


def numbers(array: Floats, shape: tuple[int, ...]) -> dict[str, object]:
    """An array of a result."""
    return array_value(np.asarray(array, dtype=np.float64).reshape(shape))
