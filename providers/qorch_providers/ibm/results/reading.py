"""Reads the answer of ``GET /jobs/{id}/results``, verbatim, of any program and in any of its forms. Pure.

Circuits measure qubit q into bit q of one register, wherever the qubit is on the device: so nothing of how a circuit
was compiled is needed here. The engine verifies what all results have in common (``qorch.model.verification``).
"""

from collections.abc import Iterator

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray, ByteArray, FloatArray, IntArray
from qorch.model.counts import Counts, concatenate_counts, smallest_unsigned
from qorch.model.job import JobResult, JobShape, RawResult
from qorch.model.measurement import BlockResult, BlockShape
from qorch_providers.counting import count_outcomes, pack_counts
from qorch_providers.ibm.results.documents import (
    BitsOfShots,
    BytesOfShots,
    NumbersOfShots,
    PubBits,
    read_estimates,
    read_pubs,
)

_SHOTS_AT_ONCE = 1 << 18
"""Rows are read in groups whose bits stay in the processor's cache."""
_WORD_BYTES = 8
"""Of an outcome at most, and of an estimated value."""
_NOTHING: IntArray = np.zeros(0, dtype=np.int64)


def read_answer(shape: JobShape, raw: RawResult) -> JobResult:
    """The counts or estimates of a job's blocks. ``raw.content``: the body of the answer as it came.

    Raises InvalidResultError, and nothing else, if anything is wrong: then no row is used.
    """
    most_bytes = _most_bytes(shape)
    try:
        if any(block.measurement.is_estimated for block in shape.blocks):
            return _estimates(shape, read_estimates(raw.content, most_bytes=most_bytes))
        return _read(shape, read_pubs(raw.content, most_bytes=most_bytes))
    except InvalidResultError as error:
        raise InvalidResultError(f"job {shape.job_id}: {error}") from error


def _estimates(shape: JobShape, pubs: list[tuple[FloatArray, FloatArray]]) -> JobResult:
    _check_pubs(shape, len(pubs))
    rest = iter(pubs)
    blocks = []
    for block in shape.blocks:
        empty = np.zeros((block.n_rows, block.measurement.n_values))
        values, errors = next(rest) if block.n_rows else (empty, empty)
        if errors.size and float(errors.min()) < 0.0:
            raise InvalidResultError("a standard error is negative")
        with np.errstate(over="ignore"):  # an infinite variance is refused with all that is not finite
            blocks.append(BlockResult(values=values, variances=errors**2))
    return JobResult(tuple(blocks))


def _check_pubs(shape: JobShape, n_pubs: int) -> None:
    sent = sum(block.n_rows > 0 for block in shape.blocks)
    if n_pubs != sent:
        raise InvalidResultError(f"the results have {n_pubs} PUBs; {sent} were sent")


def _read(shape: JobShape, pubs: list[PubBits]) -> JobResult:
    _check_pubs(shape, len(pubs))
    rest = iter(pubs)
    blocks = []
    for index, block in enumerate(shape.blocks):
        try:
            blocks.append(BlockResult(counts=_count(block, next(rest)) if block.n_rows else _no_counts(block)))
        except InvalidResultError as error:
            raise InvalidResultError(f"block {index}: {error}") from error
    return JobResult(tuple(blocks))


def _most_bytes(shape: JobShape) -> int:
    """More than the shots of any PUB have: no answer can make this process unpack more."""
    return max((_block_bytes(block) for block in shape.blocks), default=0)


def _block_bytes(block: BlockShape) -> int:
    per_row = block.measurement.n_values if block.measurement.is_estimated else block.shots or 0
    return block.n_rows * per_row * _WORD_BYTES


def _no_counts(block: BlockShape) -> Counts:
    return pack_counts(_NOTHING, _NOTHING, _NOTHING, block.n_qubits)


def _count(block: BlockShape, pub: PubBits) -> Counts:
    if block.shots is None:
        raise InvalidResultError("exact values were asked for; a job of IBM has none")
    pieces = [count_outcomes(outcomes, block.n_qubits) for outcomes in _outcomes(block, block.shots, pub)]
    return pieces[0] if len(pieces) == 1 else concatenate_counts(pieces)


def _outcomes(block: BlockShape, shots: int, pub: PubBits) -> Iterator[IntArray]:
    """The outcomes ``(some rows, shots)`` of group after group of rows, qubit 0 the lowest bit."""
    match pub:
        case BytesOfShots(array, n_bits):
            _check(block, shots, array.shape[0], array.shape[1], n_bits)
            yield from _outcomes_of_bytes(array, n_bits, step=_step(shots))
        case BitsOfShots(packed, (n_rows, found, n_bits)):
            _check(block, shots, n_rows, found, n_bits)
            yield from _outcomes_of_bits(packed, (n_rows, found, n_bits), step=_step(shots))
        case NumbersOfShots(rows, n_bits):
            for row in rows:
                _check(block, shots, len(rows), len(row), n_bits)
            _check(block, shots, len(rows), shots, n_bits)
            yield np.array([[_number(text, n_bits) for text in row] for row in rows], dtype=_word(n_bits))


def _check(block: BlockShape, shots: int, n_rows: int, found_shots: int, n_bits: int) -> None:
    if (n_rows, found_shots, n_bits) != (block.n_rows, shots, block.n_qubits):
        raise InvalidResultError(
            f"it has {n_rows} rows of {found_shots} shots of {n_bits} bits; {block.n_rows} rows of {shots} shots of"
            f" {block.n_qubits} bits were sent"
        )


def _step(shots: int) -> int:
    """How many rows are read at once; eight of them fill whole bytes whatever their bits."""
    return max(8, _SHOTS_AT_ONCE // shots // 8 * 8)


def _word(n_bits: int) -> np.dtype[np.unsignedinteger]:
    """The smallest unsigned integer for the outcomes."""
    return smallest_unsigned((1 << n_bits) - 1)


def _outcomes_of_bytes(array: ByteArray, n_bits: int, *, step: int) -> Iterator[IntArray]:
    n_bytes = array.shape[2]
    if n_bytes != -(-n_bits // 8):
        raise InvalidResultError(f"a shot of {n_bits} bits has {n_bytes} bytes")
    if n_bits % 8 and array.size and int(array[..., 0].max()) >> n_bits % 8:
        raise InvalidResultError(f"a shot has more than its {n_bits} bits")
    width = _word(n_bits).itemsize
    for start in range(0, len(array), step):
        some = array[start : start + step]
        padded = np.zeros((*some.shape[:2], width), dtype=np.uint8)
        padded[..., width - n_bytes :] = some
        yield _view(padded, f">u{width}")


def _outcomes_of_bits(packed: ByteArray, shape: tuple[int, int, int], *, step: int) -> Iterator[IntArray]:
    n_rows, shots, n_bits = shape
    width = 8 * _word(n_bits).itemsize
    for start in range(0, n_rows, step):
        some = min(step, n_rows - start)
        first, count = start * shots * n_bits, some * shots * n_bits
        part = packed[first // 8 : -(-(first + count) // 8)]
        if n_bits % 8 == 0:
            whole = np.zeros((some, shots, width // 8), dtype=np.uint8)
            whole[..., : n_bits // 8] = part.reshape(some, shots, n_bits // 8)
        else:
            padded = np.zeros((some, shots, width), dtype=np.uint8)
            padded[..., :n_bits] = np.unpackbits(part, count=count, bitorder="little").reshape(some, shots, n_bits)
            whole = np.packbits(padded, axis=-1, bitorder="little")
        yield _view(whole, f"<u{width // 8}")


def _view(padded: ByteArray, code: str) -> IntArray:
    """Bytes ``(R, S, width)`` as numbers ``(R, S)``."""
    numbers: AnyArray = padded.view(np.dtype(code))[..., 0]
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


def _number(text: str, n_bits: int) -> int:
    digits = text.removeprefix("0x")
    if not digits or len(digits) > n_bits or digits.strip("0123456789abcdefABCDEF"):
        raise InvalidResultError(f"'{text[:40]}' is no hexadecimal number of {n_bits} bits")
    number = int(digits, 16)
    if number >> n_bits:
        raise InvalidResultError(f"'{text[:40]}' has more than {n_bits} bits")
    return number
