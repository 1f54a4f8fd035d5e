"""Single shots as JSON, ``[[0,1],[1,1],…]``, to counts: numpy over the bytes, without a Python object per bit.

Shots are cut out of a document before its rest is decoded. Their text is compared with what such a text must be; any
other way to write the same is read by a JSON decoder.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import ByteArray, IntArray
from qorch.model.counts import Counts, concatenate_counts, smallest_unsigned
from qorch_providers.counting import count_outcomes

Shots = memoryview | ByteArray | list[list[int | str]]
"""The shots of one executable: their text, or bits ``(S, n)``, which Amazon's own simulators write as texts."""

_NAME = b'"measurements"'
_BEGIN = re.compile(rb"\s*:\s*(?=\[\s*\[\s*[01])")
_END = re.compile(rb"\]\s*\]")
_BITS: MappingProxyType[int | str, int] = MappingProxyType({0: 0, 1: 1, "0": 0, "1": 1})
GAPS = (1, 2)
"""How many characters can be between two digits in a text that is read by numpy: a comma, and a blank."""
_MOST_QUBITS = 4096
_ROWS_AT_ONCE = 1024
_BYTES_AT_ONCE = 1 << 18
"""Rows are read in groups whose bits stay in the processor's cache."""


class ShotForm(NamedTuple):
    """The form of the text of shots; ``gap`` characters are between two digits, and between two shots."""

    shots: int
    n_qubits: int
    gap: int

    @property
    def stride(self) -> int:
        """The characters from the beginning of a shot to that of the next."""
        return self.n_qubits + self.gap * (self.n_qubits - 1) + 2 + self.gap

    @property
    def n_bytes(self) -> int:
        """The length of the whole text."""
        return self.shots * self.stride - self.gap + 2


def find_shots(body: bytes) -> list[tuple[int, int]]:
    """Where the texts of shots begin and end in a document.

    Within a string of JSON its quotes would be escaped, so that only names of fields are found.
    """
    spans: list[tuple[int, int]] = []
    usual = 0
    at = body.find(_NAME)
    while at >= 0:
        begin = _BEGIN.match(body, at + len(_NAME))
        stop = at + len(_NAME)
        if begin is not None:
            start = begin.end()
            stop = _end_of(body, start, usual)
            spans.append((start, stop))
            usual = stop - start
        at = body.find(_NAME, stop)
    return spans


def cut_shots(body: bytes) -> tuple[bytes, list[memoryview]]:
    """A document in which every ``"measurements"`` is a number, and the texts that these numbers stand for."""
    pieces: list[bytes] = []
    texts: list[memoryview] = []
    view = memoryview(body)
    last = 0
    for start, stop in find_shots(body):
        pieces += (body[last:start], b"%d" % len(texts))
        texts.append(view[start:stop])
        last = stop
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
    """Write bits, or those of a text without needless blanks, into ``target (S, width)``; False if it is not one."""
    wanted = len(target), len(order)
    digits: ByteArray | None = None
    if isinstance(shots, np.ndarray):
        digits = shots if shots.shape == wanted else None
    elif isinstance(shots, memoryview) and all(wanted):
        forms = (ShotForm(*wanted, gap) for gap in GAPS)
        digits = next((read_digits(shots, form) for form in forms if form.n_bytes == len(shots)), None)
    if digits is None:
        return False
    if order == tuple(range(len(order))):
        target[:, : len(order)] = digits
    else:
        target[:, list(order)] = digits
    return True


def forms_of(text: memoryview) -> list[ShotForm]:
    """The forms that a text of this length with such a first shot can have."""
    shot_bytes = bytes(text[: 4 * _MOST_QUBITS]).find(b"]")
    forms = []
    for gap in GAPS if shot_bytes > 0 else ():
        n_qubits, odd = divmod(shot_bytes - 2 + gap, 1 + gap)
        form = ShotForm((len(text) - 2 + gap) // (shot_bytes + gap), n_qubits, gap)
        if not odd and form.n_bytes == len(text) and min(form) > 0:
            forms.append(form)
    return forms


def read_digits(text: memoryview, form: ShotForm) -> ByteArray | None:
    """The digits ``(S, n)`` in a text, as bytes of it; None if it has another form."""
    if len(text) != form.n_bytes:
        return None
    inner = np.frombuffer(text, dtype=np.uint8)[1:-1]
    mask, pattern = _pattern(form.n_qubits, form.gap)
    for start in range(0, len(inner), len(pattern)):
        part = inner[start : start + len(pattern)]
        # Comparing bytes is twice as fast as comparing arrays.
        if (part | mask[: len(part)]).tobytes() != pattern[: len(part)]:
            return None
    return _copy_digits(inner, form) if bytes(text[:1]) + bytes(text[-1:]) == b"[]" else None


def write_digits(bits: ByteArray, form: ShotForm) -> list[bytes]:
    """The texts of shots ``(T, S, n)``, 0 or 1."""
    _, pattern = _pattern(form.n_qubits, form.gap)
    whole = pattern * (form.shots // _ROWS_AT_ONCE + 1)
    inner = np.frombuffer(bytearray(whole[: form.n_bytes - 2]), dtype=np.uint8)
    digits = _digits_in(inner, form)
    texts = []
    for each in bits:
        np.bitwise_or(each, ord("0"), out=digits)
        texts.append(b"[" + inner.tobytes() + b"]")
    return texts


def _copy_digits(inner: ByteArray, form: ShotForm) -> ByteArray:
    """The digits ``(S, n)`` in a text without its outer brackets.

    A digit and one character after it are a number of two bytes, whose lower one is the digit: whole shots and such
    numbers are copied three times as fast as every second byte is.
    """
    if form.gap != 1:
        return _digits_in(inner, form)
    shots = np.ndarray((form.shots,), f"V{2 * form.n_qubits}", inner.data, 1, (form.stride,))
    return shots.copy().view("<u2").astype(np.uint8).reshape(form.shots, form.n_qubits)


def _digits_in(inner: ByteArray, form: ShotForm) -> ByteArray:
    """A view of the digits ``(S, n)`` in a text without its outer brackets."""
    return np.ndarray((form.shots, form.n_qubits), np.uint8, inner.data, 1, (form.stride, 1 + form.gap))


@lru_cache(maxsize=16)
def _pattern(n_qubits: int, gap: int) -> tuple[ByteArray, bytes]:
    """Where the text of 1,024 shots has digits; and the text of ones, each shot with the comma and blanks after it."""
    blank = b" " * (gap - 1)
    pattern = (b"[" + (b"," + blank).join([b"1"] * n_qubits) + b"]," + blank) * _ROWS_AT_ONCE
    return (np.frombuffer(pattern, dtype=np.uint8) == ord("1")).astype(np.uint8), pattern


def _read_any(shots: Shots, order: tuple[int, ...], target: ByteArray, *, row: int) -> None:
    """Write the bits of any other text. Raises InvalidResultError."""
    try:
        listed = msgspec.json.decode(shots, type=list[list[int | str]]) if isinstance(shots, memoryview) else shots
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
