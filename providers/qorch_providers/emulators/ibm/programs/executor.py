"""The executor program, on which the clients' newer sampler and estimator stand: circuits, also randomized ones.

A randomized item has a template circuit and a *samplex*, which draws the values of the template's parameters; reading
and drawing it is left to the package samplomatic, as at the real service.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from qorch.errors import CircuitError, UsageError
from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.ibm.programs.circuits import DeviceCircuit, read_device_circuit
from qorch_providers.emulators.ibm.programs.noise import DeviceNoise
from qorch_providers.emulators.ibm.programs.outcome import JobOutcome, check_executions
from qorch_providers.emulators.ibm.programs.sampling import register_bits, sample_qubits
from qorch_providers.emulators.ibm.programs.tensors import TensorWire, read_tensor, tensor_document
from qorch_providers.emulators.ibm.programs.values import read_circuits, unpack
from qorch_providers.emulators.kit.clock import format_iso

Arrays = dict[str, npt.NDArray[Any]]


class QpyWire(msgspec.Struct):
    """Circuits as one QPY file."""

    b64_data: str
    num_programs: int


class SamplexWire(msgspec.Struct):
    """A samplex."""

    samplex_json: str


class ItemWire(msgspec.Struct):
    """One item; a circuit item has ``circuit_arguments``, a samplex item the other two."""

    item_type: str
    shape: list[int]
    circuit_arguments: TensorWire | None = None
    samplex: SamplexWire | None = None
    samplex_arguments: dict[str, Any] = {}


class QuantumProgramWire(msgspec.Struct):
    """A quantum program. What is passed through stays as it is."""

    shots: int
    circuits: QpyWire
    items: list[ItemWire]
    meas_level: str = "classified"
    semantic_role: str | None = None
    passthrough_data: msgspec.Raw = msgspec.Raw(b"null")


class ExecutorWire(msgspec.Struct):
    """The inputs of the program."""

    schema_version: str
    quantum_program: QuantumProgramWire


@dataclass(frozen=True)
class _Item:
    """One item, ready to run: values ``(*shape, P)``, and what else the samplex drew."""

    circuit: DeviceCircuit
    values: npt.NDArray[np.float64]
    drawn: Arrays

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[:-1]


def run_executor(body: bytes, device: IbmMachine, noise: DeviceNoise | None, rng: np.random.Generator) -> JobOutcome:
    """Run a job's items. Raises UsageError, CircuitError."""
    try:
        wire = msgspec.json.decode(body, type=ExecutorWire)
    except msgspec.DecodeError as error:
        raise UsageError(f"the inputs of the executor are not valid: {error}") from error
    program = wire.quantum_program
    if program.meas_level != "classified":
        raise CircuitError(f"this emulator has no results of level '{program.meas_level}'")
    if program.shots < 1:
        raise UsageError(f"shots must be 1 or more, not {program.shots}")
    check_executions(sum(math.prod(item.shape) for item in program.items) * program.shots)
    items = list(_read_items(program, device, rng))
    rows = sum(math.prod(item.shape) for item in items)
    check_executions(rows * program.shots)
    results = [_run_item(item, program.shots, noise, rng) for item in items]
    return JobOutcome(rows, rows * program.shots, lambda start, end: _document(wire, items, results, start, end))


def _read_items(program: QuantumProgramWire, device: IbmMachine, rng: np.random.Generator) -> Iterator[_Item]:
    circuits = read_circuits(unpack(program.circuits.b64_data))
    if len(circuits) != len(program.items):
        raise UsageError(f"there are {len(circuits)} circuits and {len(program.items)} items")
    for circuit, item in zip(circuits, program.items, strict=True):
        read = read_device_circuit(circuit, device)
        if item.samplex is not None:
            drawn = _draw(item, rng)
            values = np.asarray(drawn.pop("parameter_values"), dtype=np.float64)
        else:
            drawn, values = {}, _arguments(item)
        if values.shape[-1:] != (read.n_parameters,):
            raise UsageError(f"values of shape {values.shape} do not fit {read.n_parameters} parameters")
        yield _Item(read, values, drawn)


def _arguments(item: ItemWire) -> npt.NDArray[np.float64]:
    if item.circuit_arguments is None:
        raise UsageError("an item has neither circuit_arguments nor a samplex")
    values = np.asarray(read_tensor(item.circuit_arguments), dtype=np.float64)
    try:
        shape = np.broadcast_shapes(tuple(item.shape), values.shape[:-1])
    except ValueError as error:
        raise UsageError(f"the shape {item.shape} does not fit values of shape {values.shape}") from error
    return np.broadcast_to(values, (*shape, values.shape[-1]))


def _draw(item: ItemWire, rng: np.random.Generator) -> Arrays:
    """What a samplex draws, all of the item's shape."""
    from samplomatic.serialization import samplex_from_json

    if item.samplex is None:
        return {}
    try:
        samplex = samplex_from_json(item.samplex.samplex_json).finalize()
        arguments = samplex.inputs().make_broadcastable()
        for name, value in item.samplex_arguments.items():
            arguments[name] = _argument(value)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"a samplex cannot be read: {error}") from error
    shape = tuple(item.shape)
    return _draw_all(samplex, arguments, shape, rng)


def _argument(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "sparse_terms" in value:
        from qiskit.quantum_info import PauliLindbladMap

        terms = [(letters, places, rate) for letters, places, rate in value["sparse_terms"]]
        return PauliLindbladMap.from_sparse_list(terms, value["num_qubits"])
    return read_tensor(msgspec.convert(value, TensorWire))


def _draw_all(samplex: Any, arguments: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Arrays:
    """Axes along which the arguments differ are drawn one by one, all others are drawn at once."""
    own = (1,) * (len(shape) - arguments.ndim) + tuple(arguments.shape)
    swept = [axis for axis, size in enumerate(own) if size > 1]
    random = [axis for axis, size in enumerate(own) if size <= 1]
    count = math.prod(shape[axis] for axis in random)
    found: Arrays = {}
    for index in np.ndindex(*(shape[axis] for axis in swept)):
        at = dict(zip(swept, index, strict=True))
        offset = len(shape) - arguments.ndim
        chosen = tuple(at.get(axis + offset, 0) for axis in range(arguments.ndim))
        drawn = dict(samplex.sample(arguments[chosen], num_randomizations=count, rng=rng).items())
        place = tuple(at.get(axis, slice(None)) for axis in range(len(shape)))
        for name, array in drawn.items():
            target = found.setdefault(name, np.empty((*shape, *array.shape[1:]), dtype=array.dtype))
            target[place] = array.reshape(*(shape[axis] for axis in random), *array.shape[1:])
    return found


def _run_item(item: _Item, shots: int, noise: DeviceNoise | None, rng: np.random.Generator) -> Arrays:
    qubits = item.circuit.measured
    values = item.values.reshape(math.prod(item.shape), item.circuit.n_parameters)
    bits = sample_qubits(item.circuit, values, qubits, shots=shots, noise=noise, rng=rng)
    read = {
        register.name: register_bits(register, qubits, bits)
        .astype(np.bool_)
        .reshape(*item.shape, shots, len(register.qubits))
        for register in item.circuit.registers
    }
    return {**item.drawn, **read}


def _document(
    wire: ExecutorWire, items: list[_Item], results: list[Arrays], start_unix: float, end_unix: float
) -> Mapping[str, object]:
    parts = [_part(index, item.shape) for index, item in enumerate(items)]
    start, stop = (format_iso(unix).removesuffix("Z") for unix in (start_unix, end_unix))
    data = [
        {
            "results": {name: tensor_document(array) for name, array in arrays.items()},
            "metadata": {"scheduler_timing": None, "stretch_values": None},
        }
        for arrays in results
    ]
    return {
        "schema_version": wire.schema_version,
        "data": data,
        "metadata": {"chunk_timing": [{"start": start, "stop": stop, "parts": parts}]},
        "passthrough_data": wire.quantum_program.passthrough_data,
        "semantic_role": wire.quantum_program.semantic_role,
    }


def _part(index: int, shape: tuple[int, ...]) -> dict[str, object]:
    size = math.prod(shape)
    return {
        "idx_item": index,
        "size": size,
        "permutation": list(range(len(shape))),
        "element_range": [0, size, 1],
    }
