"""Documents with their shots as bits, a seventeenth of their text: exactly that text is written from them again. Pure.

A document is kept as two parts: its bytes without the texts of its shots, and ``header ‖ starts ‖ bits``. The header
has the numbers of texts, shots and qubits, and how many characters are between two digits; ``starts (T,)`` say where
the texts stood in the document; bits are those of ``(T, S, n)`` in C order, eight in a byte. A document whose shots
have several forms, or any form but the usual one, is kept as it is, with an empty second part.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import ByteArray
from qorch_providers.braket.results.measurements import (
    GAPS,
    ShotForm,
    Shots,
    cut_shots,
    find_shots,
    forms_of,
    read_digits,
    write_digits,
)

_HEADER = struct.Struct("<4Q")
_START = np.dtype("<u8")
_TEXTS_AT_ONCE = 8
"""So many texts fill whole bytes, and their bits stay in the processor's cache."""


class ShotDocument(NamedTuple):
    """A document in which every ``"measurements"`` is a number, and the shots that these numbers stand for."""

    body: bytes
    shots: Sequence[Shots]


class _Packed(NamedTuple):
    """Shots ``bits (T, S, n)``, 0 or 1, and where their texts stood."""

    form: ShotForm
    starts: list[int]
    bits: ByteArray


def pack_shots(document: bytes) -> tuple[bytes, bytes]:
    """The two parts of a document."""
    spans = find_shots(document)
    view = memoryview(document)
    for form in forms_of(view[slice(*spans[0])]) if spans else ():
        bits = _pack_all([view[start:stop] for start, stop in spans], form)
        if bits is not None:
            header = _HEADER.pack(len(spans), *form)
            starts = np.array([start for start, _ in spans], dtype=_START)
            return _without(document, spans), b"".join([header, starts.tobytes(), *bits])
    return document, b""


def unpack_text(rest: memoryview, packed: memoryview) -> bytes:
    """The document, byte for byte. Raises InvalidResultError for parts that do not fit."""
    if not packed:
        return bytes(rest)
    found = _unpack(packed, n_rest=len(rest))
    texts = write_digits(found.bits, found.form)
    return b"".join(_interleave(rest, found, texts))


def unpack_shots(rest: memoryview, packed: memoryview) -> ShotDocument:
    """The document with its shots cut out. Raises InvalidResultError for parts that do not fit."""
    if not packed:
        return ShotDocument(*cut_shots(bytes(rest)))
    found = _unpack(packed, n_rest=len(rest))
    numbers = [b"%d" % number for number in range(len(found.starts))]
    return ShotDocument(b"".join(_interleave(rest, found, numbers)), list(found.bits))


def _pack_all(texts: Sequence[memoryview], form: ShotForm) -> list[bytes] | None:
    """The bits of texts of one form, eight in a byte; None if one has another form."""
    packed: list[bytes] = []
    bits = np.empty((_TEXTS_AT_ONCE, form.shots, form.n_qubits), dtype=np.uint8)
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        some = texts[first : first + _TEXTS_AT_ONCE]
        for text, target in zip(some, bits, strict=False):
            digits = read_digits(text, form)
            if digits is None:
                return None
            np.bitwise_and(digits, 1, out=target)
        packed.append(np.packbits(bits[: len(some)].reshape(-1)).tobytes())
    return packed


def _without(document: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    ends = [0, *(stop for _, stop in spans)]
    starts = [*(start for start, _ in spans), len(document)]
    return b"".join([document[end:start] for end, start in zip(ends, starts, strict=True)])


def _interleave(rest: memoryview, found: _Packed, texts: Sequence[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The rest, and at each place where shots stood one of the texts."""
    last = 0
    for number, (start, text) in enumerate(zip(found.starts, texts, strict=True)):
        place = start - number * found.form.n_bytes
        yield rest[last:place]
        yield text
        last = place
    yield rest[last:]


def _unpack(packed: memoryview, *, n_rest: int) -> _Packed:
    """Raises InvalidResultError for parts that do not fit."""
    problem = InvalidResultError("the kept shots of an answer of Braket are damaged; fetch them again")
    if len(packed) < _HEADER.size:
        raise problem
    n_texts, *numbers = _HEADER.unpack_from(packed)
    form = ShotForm(*numbers)
    n_bits = n_texts * form.shots * form.n_qubits
    if (
        not n_texts
        or not all(numbers)
        or form.gap not in GAPS
        or len(packed) != _HEADER.size + n_texts * _START.itemsize + -(-n_bits // 8)
    ):
        raise problem
    starts = np.frombuffer(packed, dtype=_START, count=n_texts, offset=_HEADER.size).tolist()
    places = [start - number * form.n_bytes for number, start in enumerate(starts)]
    if sorted(places) != places or not 0 <= places[0] <= places[-1] <= n_rest:
        raise problem
    packed_bits = np.frombuffer(packed, dtype=np.uint8, offset=_HEADER.size + n_texts * _START.itemsize)
    bits = np.unpackbits(packed_bits, count=n_bits).reshape(n_texts, form.shots, form.n_qubits)
    return _Packed(form, starts, bits)
