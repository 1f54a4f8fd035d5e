"""One circuit's probabilities from JSON, verified: flat with decimal keys, or per register with bitstrings.

JSON lets a key stand twice and readers keep the last; here every pair has one colon, and colons are counted.
"""

from dataclasses import dataclass

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import FloatArray, UIntArray
from qorch_providers.ionq.text import clean

TOLERANCE = 1e-6
"""Of a probability, and for each entry of their sum."""
_REGISTER = "output_all"


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
        """Check and keep. Raises InvalidResultError for a key that is no outcome."""
        longest = self._n_qubits if self._base == 2 else 20
        if not (key.isascii() and key.isdigit() and len(key) <= longest) or not self._is_canonical(key):
            raise InvalidResultError(f"{clean(key, limit=40)!r} is no outcome of {self._n_qubits} qubits")
        self[key] = int(key, self._base)
        return self[key]

    def _is_canonical(self, key: str) -> bool:
        if self._base == 2:
            return len(key) == self._n_qubits and not key.strip("01")
        return str(int(key)) == key and int(key) >> self._n_qubits == 0


@dataclass(frozen=True, eq=False)
class DistributionReader:
    """Reads rows of circuits with the same number of qubits."""

    decimal: OutcomeTable
    binary: OutcomeTable

    def read(self, body: bytes) -> Distribution:
        """The distribution of one row, in either shape. Raises InvalidResultError where anything is amiss.

        Bitstrings are read with qubit 0 rightmost; protocols.md shows no example that would tell, so the flat shape
        is asked for where there is a choice.
        """
        entries, table, n_colons = self._entries(body)
        if body.count(b":") != n_colons or b"\\" in body:
            raise InvalidResultError("an outcome is there twice, or its name is escaped")
        outcomes = np.fromiter(map(table.__getitem__, entries), dtype=np.uint64, count=len(entries))
        probabilities = np.fromiter(entries.values(), dtype=np.float64, count=len(entries))
        _check(probabilities)
        probabilities = probabilities.clip(0.0, 1.0)
        if (outcomes[1:] <= outcomes[:-1]).any():
            order = outcomes.argsort()
            outcomes, probabilities = outcomes[order], probabilities[order]
        return Distribution(outcomes, probabilities)

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
            raise InvalidResultError(f"these are no probabilities: {clean(str(problem))}") from problem
        if registers.keys() != {_REGISTER}:
            raise InvalidResultError(
                f"expected the register {_REGISTER}, found {clean(', '.join(registers), limit=60)}"
            )
        entries = registers[_REGISTER]
        return entries, self.binary, len(entries) + 3


_flat = msgspec.json.Decoder(dict[str, float])
_registered = msgspec.json.Decoder(_Registered)


def reader_of(n_qubits: int) -> DistributionReader:
    """A reader for circuits of so many qubits."""
    return DistributionReader(OutcomeTable(n_qubits), OutcomeTable(n_qubits, base=2))


def _check(probabilities: FloatArray) -> None:
    """NaN and infinity never get so far: msgspec refuses them."""
    if not len(probabilities):
        raise InvalidResultError("there are no outcomes")
    if probabilities.min() < -TOLERANCE or probabilities.max() > 1.0 + TOLERANCE:
        raise InvalidResultError("a probability is outside [0, 1]")
    total = float(probabilities.sum())
    if abs(total - 1.0) > TOLERANCE * len(probabilities):
        raise InvalidResultError(f"the probabilities sum to {total}, not to 1")


def split_children(body: bytes) -> dict[str, bytes]:
    """The bodies of a multi-circuit job's children by id. Raises InvalidResultError where an id stands twice."""
    try:
        children = {child: bytes(raw) for child, raw in _aggregated.decode(body).items()}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"these are no results of several circuits: {clean(str(error))}") from error
    colons = sum(raw.count(b":") for raw in children.values()) + sum(1 + child.count(":") for child in children)
    if body.count(b":") != colons or b"\\" in body:
        raise InvalidResultError("a circuit is there twice, or its name is escaped")
    return children


_aggregated = msgspec.json.Decoder(dict[str, msgspec.Raw])
