"""Frequencies of outcomes to the counts that they stand for, and exact values to those that were asked for."""

from collections.abc import Sequence

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import FloatArray, IntArray, UIntArray
from qorch.model.measurement import Measurement
from qorch_providers.braket.results.shapes import ExactWire

COUNT_TOLERANCE = 1e-3
"""How far frequency times shots may be from a whole number: seven decimals explain that much at 5,000 shots."""
SUM_TOLERANCE = 1e-6
"""How far exact probabilities may be below 0, and their sum from 1."""

_entries = msgspec.json.Decoder(dict[str, float])


def read_frequencies(
    body: msgspec.Raw, order: Sequence[int], *, shots: int, is_debiased: bool
) -> tuple[UIntArray, IntArray]:
    """Outcomes, ascending, and counts ``(E,)``; ``order[k]``: the qubit of character k, the leftmost being 0.

    Frequencies are counts divided by ``shots``. ``is_debiased``: the device has mixed several histograms, so that
    theirs need not be whole; they are rounded by largest remainders, and errors estimated from them are those of plain
    shots. Raises InvalidResultError for anything else.
    """
    text = bytes(body)
    try:
        found = _entries.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError("its probabilities cannot be read; fetch them again") from error
    if text.count(b":") != len(found) or b"\\" in text:
        raise InvalidResultError("an outcome is there twice, or its name is escaped")
    if any(len(name) != len(order) or name.strip("01") for name in found):
        raise InvalidResultError(f"an outcome has not {len(order)} bits, as many as qubits were measured")
    weights = [1 << qubit for qubit in order]
    outcomes = np.array(
        [sum(weight for weight, bit in zip(weights, name, strict=True) if bit == "1") for name in found],
        dtype=np.uint64,
    )
    counts = _whole(np.array(list(found.values()), dtype=np.float64), shots=shots, is_debiased=is_debiased)
    is_seen = counts > 0
    outcomes, counts = outcomes[is_seen], counts[is_seen]
    ascending = outcomes.argsort()
    return outcomes[ascending], counts[ascending]


def _whole(frequencies: FloatArray, *, shots: int, is_debiased: bool) -> IntArray:
    if not len(frequencies) or frequencies.min() < -SUM_TOLERANCE:
        raise InvalidResultError("there are no outcomes, or one has a negative probability")
    expected = frequencies * shots
    counts = np.rint(expected)
    is_whole = bool((np.abs(expected - counts) <= COUNT_TOLERANCE).all()) and counts.sum() == shots
    if not is_whole and is_debiased and abs(frequencies.sum() - 1.0) <= COUNT_TOLERANCE:
        return _nearest(frequencies.clip(0.0), shots)
    if not is_whole:
        raise InvalidResultError(f"its probabilities are not those of {shots} shots")
    return np.asarray(counts, dtype=np.int64)


def _nearest(frequencies: FloatArray, shots: int) -> IntArray:
    """Counts that sum to ``shots``, by largest remainders."""
    expected = frequencies * (shots / frequencies.sum())
    counts = np.floor(expected)
    largest = np.argsort(counts - expected, kind="stable")[: shots - int(counts.sum())]
    counts[largest] += 1.0
    return np.asarray(counts, dtype=np.int64)


def exact_values(found: Sequence[ExactWire], measurement: Measurement) -> FloatArray:
    """The exact values ``(M,)`` of one row: parities by their qubits, or from all probabilities.

    Raises InvalidResultError if one is missing, or the probabilities are none.
    """
    n_qubits = len(measurement.basis)
    for each in found:
        if each.type.type == "probability":
            return _from_probabilities(each, measurement, n_qubits)
    parities = dict(_parity(each, n_qubits) for each in found)
    if measurement.masks is None:
        raise InvalidResultError("it has no probabilities")
    missing = [mask for mask in measurement.masks.tolist() if mask not in parities]
    if missing or len(parities) < len(found) - _repeats(measurement.masks):
        raise InvalidResultError(f"it lacks {len(missing)} of {len(measurement.masks)} expectation values, or repeats")
    return np.array([parities[mask] for mask in measurement.masks.tolist()], dtype=np.float64)


def _repeats(masks: UIntArray) -> int:
    return len(masks) - len(set(masks.tolist()))


def _parity(each: ExactWire, n_qubits: int) -> tuple[int, float]:
    """The mask of an expectation value of Z on some qubits, and the value."""
    targets, letters = each.type.targets or [], each.type.observable or []
    is_known = (
        each.type.type == "expectation"
        and isinstance(each.value, float)
        and 0 < len(targets) == len(letters) == len(set(targets))
        and set(letters) <= {"z", "i"}
        and all(0 <= target < n_qubits for target in targets)
    )
    if not is_known or not isinstance(each.value, float):
        raise InvalidResultError("it has a value that was not asked for")
    return sum(1 << target for target, letter in zip(targets, letters, strict=True) if letter == "z"), each.value


def _from_probabilities(each: ExactWire, measurement: Measurement, n_qubits: int) -> FloatArray:
    targets = each.type.targets or list(range(n_qubits))
    if sorted(targets) != list(range(n_qubits)) or not isinstance(each.value, list) or len(each.value) != 1 << n_qubits:
        raise InvalidResultError(f"its probabilities are not those of {n_qubits} qubits")
    table = np.array(each.value, dtype=np.float64).reshape((2,) * n_qubits)
    # Axis j is qubit targets[j], the first the most significant; qorch's axis n - 1 - q is qubit q.
    values = table.transpose([targets.index(n_qubits - 1 - axis) for axis in range(n_qubits)]).reshape(-1)
    if values.min() < -SUM_TOLERANCE or abs(values.sum() - 1.0) > SUM_TOLERANCE:
        raise InvalidResultError(f"its probabilities sum to {values.sum()}, not to 1, or one is negative")
    values = values.clip(0.0)
    if measurement.masks is None:
        return values
    outcomes = np.arange(1 << n_qubits, dtype=np.uint64)
    odd = np.bitwise_count(outcomes[np.newaxis] & measurement.masks[:, np.newaxis]) % 2
    parities: FloatArray = (1.0 - 2.0 * odd) @ values
    return parities
