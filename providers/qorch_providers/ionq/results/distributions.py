"""One circuit's probabilities from JSON, verified: flat with decimal keys, or per register with bitstrings.

JSON allows a key to occur twice, and readers keep the last; here every pair has one colon, and colons are counted.
Dense rows of up to 1,024 outcomes are read as structs with one field per outcome, which halves the time.
"""

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import FloatArray, UIntArray
from qorch_providers.http import clean

TOLERANCE = 1e-6
"""Tolerance of a probability; for exact ones, the tolerance of their sum is this for each entry."""
ROUNDING = 5e-5
"""Tolerance of the sum of sampled probabilities, for each entry: some servers round them to only 4 decimals."""
_REGISTER = "output_all"
_MOST_DENSE_QUBITS = 10
_BRACES_PER_CHILD = 3
_COLON = ord(":")
_MOST_NAME = 67
"""Characters before a brace within which its name begins."""
_EMPTY_OBJECT = re.compile(rb"\{\s*\}")
_NOTHING = re.compile(rb"null|\{\s*\}")
_DENSE_SHARE = 4
"""A row counts as dense if at least one in this number of outcomes is present."""

Text = bytes | memoryview
"""JSON, whole or cut out of a larger document."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """Probabilities ``(E,)`` of the ``outcomes (E,)``, ascending; they sum to 1 as exactly as they were sent."""

    outcomes: UIntArray
    probabilities: FloatArray


class _Registers(msgspec.Struct, forbid_unknown_fields=True):
    registers: dict[str, dict[str, float]]


class _Registered(msgspec.Struct, forbid_unknown_fields=True):
    probabilities: _Registers


class OutcomeTable(dict[str, int]):
    """Outcome integers by their key, each key checked once: it recurs in every row of a job."""

    def __init__(self, n_qubits: int, *, base: int = 10) -> None:
        """``base`` 10: decimal without leading zeros; 2: exactly n bits, qubit 0 rightmost."""
        super().__init__()
        self._n_qubits = n_qubits
        self._base = base

    def __missing__(self, key: str) -> int:
        """Check and keep. Raises InvalidResultError for a key that is not an outcome."""
        longest = self._n_qubits if self._base == 2 else 20
        if not (key.isascii() and key.isdigit() and len(key) <= longest) or not self._is_canonical(key):
            raise InvalidResultError(f"{clean(key, limit=40)!r} is not an outcome of {self._n_qubits} qubits")
        self[key] = int(key, self._base)
        return self[key]

    def _is_canonical(self, key: str) -> bool:
        if self._base == 2:
            return len(key) == self._n_qubits and not key.strip("01")
        return str(int(key)) == key and int(key) >> self._n_qubits == 0


@dataclass(frozen=True, eq=False)
class DistributionReader:
    """Reads rows of circuits with the same number of qubits.

    ``tolerance``: for each entry of a row, how far the probabilities' sum may be from 1.
    """

    decimal: OutcomeTable
    binary: OutcomeTable
    dense: "DenseReader | None" = None
    tolerance: float = TOLERANCE

    def read(self, text: Text) -> Distribution:
        """The distribution of one row, in either shape. Raises InvalidResultError if anything is wrong.

        Bitstrings are read with qubit 0 rightmost; no example in IonQ's reference would tell, so the flat shape, whose
        keys are the outcomes as decimal numbers with qubit 0 as the lowest bit, is asked for if there is a choice.
        """
        body = bytes(text)
        found = None if self.dense is None else self.dense.read(body)
        outcomes, probabilities = found or self._read_any(body)
        return Distribution(outcomes, _checked(probabilities, tolerance=self.tolerance))

    def _read_any(self, body: bytes) -> tuple[UIntArray, FloatArray]:
        entries, table, n_colons = self._entries(body)
        if body.count(b":") != n_colons or b"\\" in body:
            raise InvalidResultError("an outcome is there twice, or its name is escaped")
        outcomes = np.fromiter(map(table.__getitem__, entries), dtype=np.uint64, count=len(entries))
        probabilities = np.fromiter(entries.values(), dtype=np.float64, count=len(entries))
        if (outcomes[1:] <= outcomes[:-1]).any():
            order = outcomes.argsort()
            return outcomes[order], probabilities[order]
        return outcomes, probabilities

    def _entries(self, body: bytes) -> tuple[dict[str, float], OutcomeTable, int]:
        """Probabilities by key, the table of these keys, and how many colons such a body has."""
        try:
            entries = _flat.decode(body)
            return entries, self.decimal, len(entries)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            problem = error
        try:
            registers = _registered.decode(body).probabilities.registers
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise InvalidResultError(f"these are not probabilities: {clean(str(problem))}") from problem
        if registers.keys() != {_REGISTER}:
            raise InvalidResultError(
                f"expected the register {_REGISTER}, found {clean(', '.join(registers), limit=60)}"
            )
        entries = registers[_REGISTER]
        return entries, self.binary, len(entries) + 3


_flat = msgspec.json.Decoder(dict[str, float])
_registered = msgspec.json.Decoder(_Registered)


@dataclass(frozen=True, eq=False)
class DenseReader:
    """Reads flat rows that have many of the ``outcomes (2**n,)``."""

    outcomes: UIntArray
    decoder: "msgspec.json.Decoder[Any]"
    packer: struct.Struct

    def read(self, body: bytes) -> tuple[UIntArray, FloatArray] | None:
        """Outcomes, ascending, and their probabilities; None for a body of another shape, or a sparse one."""
        size, n_colons = len(self.outcomes), _count_colons(body)
        if n_colons * _DENSE_SHARE < size or b"\\" in body:
            return None
        try:
            values = msgspec.structs.astuple(self.decoder.decode(body))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        probabilities: FloatArray = np.frombuffer(self.packer.pack(*values))
        if n_colons == size and not np.isnan(np.add.reduce(probabilities)):
            return self.outcomes, probabilities
        is_there = ~np.isnan(probabilities)
        if np.count_nonzero(is_there) != n_colons:
            return None
        return self.outcomes[is_there], probabilities[is_there]


def _count_colons(body: bytes) -> int:
    """``body.count(b":")``, computed with numpy, which is faster for large numbers of colons."""
    return int(np.count_nonzero(np.frombuffer(body, dtype=np.uint8) == _COLON))


@lru_cache(maxsize=_MOST_DENSE_QUBITS)
def _dense_reader(n_qubits: int) -> DenseReader:
    """A reader with a struct for ``n_qubits``: field k is named k in JSON; a missing one is NaN, which JSON lacks."""
    outcomes = np.arange(1 << n_qubits, dtype=np.uint64)
    names = {f"p{outcome}": str(outcome) for outcome in outcomes}
    fields = [(name, float, float("nan")) for name in names]
    row = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, gc=False)
    return DenseReader(outcomes, msgspec.json.Decoder(row), struct.Struct(f"{len(outcomes)}d"))


def reader_of(n_qubits: int, *, tolerance: float = TOLERANCE) -> DistributionReader:
    """A reader for circuits of ``n_qubits`` qubits; see DistributionReader."""
    dense = _dense_reader(n_qubits) if n_qubits <= _MOST_DENSE_QUBITS else None
    return DistributionReader(OutcomeTable(n_qubits), OutcomeTable(n_qubits, base=2), dense, tolerance)


def _checked(probabilities: FloatArray, *, tolerance: float) -> FloatArray:
    """The probabilities, clipped to [0, 1]. NaN and infinity do not occur: msgspec refuses them."""
    if not len(probabilities):
        raise InvalidResultError("there are no outcomes")
    # Bare ufuncs: for few numbers the overhead of numpy's methods is longer than the work.
    least, total = np.minimum.reduce(probabilities), float(np.add.reduce(probabilities))
    # If none is negative and their sum is at most 1, none is above 1.
    most = 1.0 if least >= 0.0 and total <= 1.0 else np.maximum.reduce(probabilities)
    if least < -TOLERANCE or most > 1.0 + TOLERANCE:
        raise InvalidResultError("a probability is outside [0, 1]")
    if abs(total - 1.0) > tolerance * len(probabilities):
        is_rounded = abs(total - 1.0) <= ROUNDING * len(probabilities)
        hint = "; the server seems to round them, and exact ones are needed in full" if is_rounded else ""
        raise InvalidResultError(f"the probabilities sum to {total}, not to 1{hint}")
    return probabilities if least >= 0.0 and most <= 1.0 else probabilities.clip(0.0, 1.0)


def split_children(body: Text, *, most: int) -> dict[str, Text]:
    """The bodies of a multi-circuit job's children by id; a child with ``null`` or ``{}`` has none, and is left out.

    Raises InvalidResultError if an id occurs twice, or there are more than ``most`` of them.
    """
    whole = bytes(body)
    children = _split_plainly(whole, most) or _split_any(whole, most)
    return {child: text for child, text in children.items() if not _NOTHING.fullmatch(text)}


def has_empty_child(body: bytes) -> bool:
    """Whether an answer contains ``null`` or ``{}``; much faster than to split it."""
    return b"null" in body or _EMPTY_OBJECT.search(body) is not None


def _split_plainly(body: bytes, most: int) -> dict[str, Text] | None:
    """``split_children`` for a body without spaces and escapes, in a fraction of the time; None for any other.

    The body is cut before every child: every opening brace must follow a name, so nothing is nested, and without
    escapes no string contains a cut. The pieces are read as JSON objects afterwards.
    """
    if body[:2] != b'{"' or body[-2:] != b"}}" or b"\\" in body:
        return None
    names: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    brace = body.find(b"{", 1)
    while brace > 0 and len(names) <= most:
        quote = body.rfind(b'"', max(0, brace - _MOST_NAME), brace - 2)
        name = body[quote + 1 : brace - 2]
        is_next = body[quote - 2 : quote] == b"}," if names else quote == 1
        if not is_next or body[brace - 2 : brace] != b'":' or not name.replace(b"-", b"").isalnum():
            return None
        names.append(name.decode())
        starts.append(brace)
        ends.append(quote - 1)
        brace = body.find(b"{", brace + 1)
    ends.append(len(body) - 1)
    view = memoryview(body)
    children: dict[str, Text] = {
        name: view[start:end] for name, start, end in zip(names, starts, ends[1:], strict=True)
    }
    return children if len(children) == len(names) <= most else None


def _split_any(body: bytes, most: int) -> dict[str, Text]:
    if body.count(b"{") > 1 + most * _BRACES_PER_CHILD:
        raise InvalidResultError(f"these are not results of at most {most} circuits")
    try:
        children: dict[str, Text] = {child: bytes(raw) for child, raw in _aggregated.decode(body).items()}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"these are not results of several circuits: {clean(str(error))}") from error
    colons = sum(bytes(raw).count(b":") for raw in children.values()) + sum(1 + child.count(":") for child in children)
    if body.count(b":") != colons or b"\\" in body:
        raise InvalidResultError("a circuit is there twice, or its name is escaped")
    return children


_aggregated = msgspec.json.Decoder(dict[str, msgspec.Raw])
