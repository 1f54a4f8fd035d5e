"""Single shots as JSON, ``[[0,1],[1,1],…]``, to counts: numpy over the bytes, without a Python object per bit.

Shots are cut out of a document before its rest is decoded. Their text is compared with what such a text must be; any
other way to write the same is read by a JSON decoder.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import ByteArray, IntArray
from qorch.model.counts import Counts, concatenate_counts, smallest_unsigned
from qorch_providers.counting import count_outcomes

Shots = memoryview | list[list[int | str]]
"""The shots of one executable: their text, or bits, which Amazon's own simulators write as texts."""

_NAME = b'"measurements"'
_BEGIN = re.compile(rb"\s*:\s*(?=\[\s*\[\s*[01])")
_END = re.compile(rb"\]\s*\]")
_BITS: MappingProxyType[int | str, int] = MappingProxyType({0: 0, 1: 1, "0": 0, "1": 1})
_ROWS_AT_ONCE = 1024
_BYTES_AT_ONCE = 1 << 18
"""Rows are read in groups whose bits stay in the processor's cache."""


def cut_shots(body: bytes) -> tuple[bytes, list[memoryview]]:
    """A document in which every ``"measurements"`` is a number, and the texts that these numbers stand for.

    Within a string of JSON its quotes would be escaped, so that only names of fields are found.
    """
    pieces: list[bytes] = []
    texts: list[memoryview] = []
    view = memoryview(body)
    last, usual = 0, 0
    at = body.find(_NAME)
    while at >= 0:
        begin = _BEGIN.match(body, at + len(_NAME))
        if begin is None:
            at = body.find(_NAME, at + len(_NAME))
            continue
        start = begin.end()
        stop = _end_of(body, start, usual)
        pieces += (body[last:start], b"%d" % len(texts))
        texts.append(view[start:stop])
        last, usual = stop, stop - start
        at = body.find(_NAME, stop)
    pieces.append(body[last:])
    return b"".join(pieces), texts


def _end_of(body: bytes, start: int, usual: int) -> int:
    """Where the shots that begin at ``start`` end. Most have the ``usual`` length.

    There is no quote within shots, so that what is beyond the next one belongs to something else.
    """
    quote = body.find(b'"', start)
    most = len(body) if quote < 0 else quote
    if usual and start + usual <= most and body[start + usual - 2 : start + usual] == b"]]":
        return start + usual
    end = body.find(b"]]", start, most)
    if end >= 0:
        return end + 2
    spaced = _END.search(body, start, most)
    return most if spaced is None else spaced.end()


def count_shots(rows: Sequence[tuple[int, Shots]], order: tuple[int, ...], *, shots: int) -> Counts:
    """The counts of R rows, at least one, with ``shots`` shots each; every row with its number, for messages.

    ``order[k]``: the qubit whose bits are column k.

    Raises InvalidResultError, which begins with the row, for what is not so many shots of so many bits.
    """
    n_qubits = len(order)
    width = _padded(n_qubits)
    step = max(1, _BYTES_AT_ONCE // (width * shots))
    buffer = np.zeros((min(step, len(rows)), shots, width), dtype=np.uint8)
    pieces = []
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        bits = buffer[: len(some)]
        for (row, text), target in zip(some, bits, strict=True):
            if not _read_plain(text, order, target):
                _read_any(text, order, target, row=row)
        pieces.append(count_outcomes(_outcomes(bits), n_qubits))
    return pieces[0] if len(pieces) == 1 else concatenate_counts(pieces)


def _padded(n_qubits: int) -> int:
    """The bits of the smallest unsigned integer for the outcomes."""
    return 8 * smallest_unsigned((1 << n_qubits) - 1).itemsize


def _read_plain(shots: Shots, order: tuple[int, ...], target: ByteArray) -> bool:
    """Write the bits of a text without needless blanks into ``target (S, width)``; False if it is not one."""
    n_shots, n_qubits = len(target), len(order)
    if not isinstance(shots, memoryview) or not n_shots:
        return False
    text = np.frombuffer(shots, dtype=np.uint8)[1:-1]
    for gap in (1, 2):
        stride = n_qubits + gap * (n_qubits - 1) + 2 + gap
        if len(text) == n_shots * stride - gap:
            break
    else:
        return False
    mask, pattern = _pattern(n_qubits, gap)
    for start in range(0, len(text), len(pattern)):
        part = text[start : start + len(pattern)]
        # Comparing bytes is twice as fast as comparing arrays.
        if (part | mask[: len(part)]).tobytes() != pattern[: len(part)]:
            return False
    digits = np.ndarray((n_shots, n_qubits), np.uint8, text.data, 1, (stride, 1 + gap))
    if order == tuple(range(n_qubits)):
        target[:, :n_qubits] = digits
    else:
        target[:, list(order)] = digits
    return True


@lru_cache(maxsize=16)
def _pattern(n_qubits: int, gap: int) -> tuple[ByteArray, bytes]:
    """Where the text of 1,024 shots has digits; and the text of ones, each shot with the comma and blanks after it."""
    blank = b" " * (gap - 1)
    pattern = (b"[" + (b"," + blank).join([b"1"] * n_qubits) + b"]," + blank) * _ROWS_AT_ONCE
    return (np.frombuffer(pattern, dtype=np.uint8) == ord("1")).astype(np.uint8), pattern


def _read_any(shots: Shots, order: tuple[int, ...], target: ByteArray, *, row: int) -> None:
    """Write the bits of any other text. Raises InvalidResultError."""
    try:
        listed = shots if isinstance(shots, list) else msgspec.json.decode(shots, type=list[list[int | str]])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"row {row}: its measurements cannot be read; fetch them again") from error
    if len(listed) != len(target):
        raise InvalidResultError(f"row {row}: {len(target)} shots were asked for, {len(listed)} came back")
    if any(len(shot) != len(order) for shot in listed):
        raise InvalidResultError(f"row {row}: a shot has not {len(order)} bits, as many as qubits were measured")
    if not all(bit in _BITS for shot in listed for bit in shot):
        raise InvalidResultError(f"row {row}: a measured bit is neither 0 nor 1")
    target[:, list(order)] = np.array([[_BITS[bit] for bit in shot] for shot in listed], dtype=np.uint8)


def _outcomes(bits: ByteArray) -> IntArray:
    """The outcomes ``(R, S)`` of bits or digits ``(R, S, width)``, qubit 0 the lowest bit."""
    np.bitwise_and(bits, 1, out=bits)
    packed = np.packbits(bits.reshape(-1), bitorder="little")
    outcomes: IntArray = packed.view(np.dtype(f"<u{bits.shape[2] // 8}")).reshape(bits.shape[:2])
    return outcomes
