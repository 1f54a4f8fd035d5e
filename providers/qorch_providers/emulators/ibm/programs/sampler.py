"""The sampler program: shots of every PUB, by register."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qorch.errors import CircuitError, UsageError
from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.ibm.programs.noise import DeviceNoise
from qorch_providers.emulators.ibm.programs.outcome import JobOutcome, check_executions
from qorch_providers.emulators.ibm.programs.pubs import BoundPub, pub_value, read_bound, time_value
from qorch_providers.emulators.ibm.programs.sampling import Bits, register_bits, sample_qubits
from qorch_providers.emulators.ibm.programs.values import array_value, typed

DEFAULT_SHOTS = 4096


@dataclass(frozen=True)
class _SamplerPub:
    """One PUB that was read."""

    bound: BoundPub
    shots: int


def run_sampler(
    params: Mapping[str, Any], device: IbmMachine, noise: DeviceNoise | None, rng: np.random.Generator
) -> JobOutcome:
    """Run a job's PUBs. Raises UsageError, CircuitError."""
    options = params.get("options") or {}
    pubs = [_read_pub(pub, device, options.get("default_shots") or DEFAULT_SHOTS) for pub in params.get("pubs", [])]
    if not pubs:
        raise UsageError("a job has at least one PUB")
    level = (options.get("execution") or {}).get("meas_type") or "classified"
    if level != "classified":
        raise CircuitError(f"this emulator has no results of level '{level}'")
    rows = sum(len(pub.bound.values) for pub in pubs)
    executions = sum(len(pub.bound.values) * pub.shots for pub in pubs)
    check_executions(executions)
    drawn = [_run_pub(pub, noise, rng) for pub in pubs]
    if params.get("support_qiskit") is False:
        return JobOutcome(rows, executions, lambda _start, _end: _plain_document(pubs, drawn))
    return JobOutcome(rows, executions, lambda start, end: _document(pubs, drawn, start, end))


def _read_pub(pub: Any, device: IbmMachine, default_shots: int) -> _SamplerPub:
    if not isinstance(pub, list) or not 1 <= len(pub) <= 3:
        raise UsageError("a PUB of the sampler is a list of a circuit, parameter values and shots")
    circuit, values, shots = [*pub, None, None][:3]
    bound = read_bound(circuit, values, device)
    number = default_shots if shots is None else shots
    if not isinstance(number, int) or number < 1:
        raise UsageError(f"shots must be 1 or more, not {number}")
    if not bound.circuit.registers:
        raise UsageError("the circuit of a PUB of the sampler has no classical registers")
    return _SamplerPub(bound, number)


def _run_pub(pub: _SamplerPub, noise: DeviceNoise | None, rng: np.random.Generator) -> dict[str, Bits]:
    circuit, qubits = pub.bound.circuit, pub.bound.circuit.measured
    bits = sample_qubits(circuit, pub.bound.values, qubits, shots=pub.shots, noise=noise, rng=rng)
    return {register.name: register_bits(register, qubits, bits) for register in circuit.registers}


def _document(
    pubs: list[_SamplerPub], drawn: list[dict[str, Bits]], start_unix: float, end_unix: float
) -> dict[str, object]:
    results = [
        pub_value(
            "SamplerPubResult",
            pub.bound.shape,
            {name: _bit_array(bits, pub) for name, bits in registers.items()},
            {"circuit_metadata": pub.bound.metadata},
        )
        for pub, registers in zip(pubs, drawn, strict=True)
    ]
    slices = {
        str(index): [[*pub.bound.shape, pub.shots], 0, math.prod(pub.bound.shape) * pub.shots]
        for index, pub in enumerate(pubs)
    }
    span = {"start": time_value(start_unix), "stop": time_value(end_unix), "data_slices": slices}
    spans = typed("ExecutionSpans", {"spans": [typed("ExecutionSpan", span)]})
    metadata = {"execution": {"execution_spans": spans}, "version": 2}
    return typed("PrimitiveResult", {"pub_results": results, "metadata": metadata})


def _bit_array(bits: Bits, pub: _SamplerPub) -> dict[str, object]:
    """Bits in bytes, the bit 0 of a register last; what is missing to whole bytes comes first."""
    n_bits = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], -(-n_bits // 8) * 8), dtype=np.uint8)
    padded[..., padded.shape[-1] - n_bits :] = bits[..., ::-1]
    packed = np.packbits(padded, axis=-1).reshape(*pub.bound.shape, pub.shots, -1)
    return typed("BitArray", {"array": array_value(packed), "num_bits": n_bits})


def _plain_document(pubs: list[_SamplerPub], drawn: list[dict[str, Bits]]) -> dict[str, object]:
    """The result for clients without Qiskit."""
    results = []
    for pub, registers in zip(pubs, drawn, strict=True):
        data = {
            name: {"samples": _nest(_as_hex(bits), pub.bound.shape), "num_bits": bits.shape[-1]}
            for name, bits in registers.items()
        }
        results.append({"data": data, "metadata": {}})
    return {"results": results, "metadata": {}}


def _as_hex(bits: Bits) -> list[list[str]]:
    texts = []
    for row in bits:
        numbers = [int("0" + "".join(map(str, shot[::-1])), 2) for shot in row.tolist()]
        texts.append([hex(number) for number in numbers])
    return texts


def _nest(rows: list[Any], shape: tuple[int, ...]) -> Any:
    """Rows as nested lists; those of one row alone are not nested."""
    if not shape:
        return rows[0]
    if len(shape) == 1:
        return rows
    size = math.prod(shape[1:])
    return [_nest(rows[start : start + size], shape[1:]) for start in range(0, len(rows), max(1, size))]
