"""Templates of measured circuits: JSON that is serialised once, with gaps for the numbers of each row.

Numbers are the shortest decimals that read back as the same float64. A row is byte-equal to msgspec's JSON of its
bound gates.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from qorch.errors import ParameterError
from qorch.model.arrays import FloatArray, IntArray
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.ionq.circuits.native import NativeCircuit
from qorch_providers.ionq.circuits.native_compiler import compile_native
from qorch_providers.ionq.circuits.qis import QisCircuit, compile_qis
from qorch_providers.ionq.circuits.slots import Slot, WireCircuit, WireGate
from qorch_providers.ionq.options import NATIVE, Options

MAX_NUMBER_BYTES = 24
"""The longest shortest decimal of a float64, such as -2.2250738585072014e-308."""
_GAP = b"\x00"
_KEPT = 64


@dataclass(frozen=True, eq=False)
class Template:
    """Gates as JSON with gaps: ``pieces (S + 1,)``, between which the numbers ``order (S,)`` of ``circuit`` go.

    ``n_gates``: gates of one row as they are sent, of which ``n_one_qubit`` are on one qubit; they are not kept in
    ``circuit``. ``n_two_qubit``: as how many gates on two qubits the others are billed.
    """

    circuit: WireCircuit
    pieces: tuple[bytes, ...]
    order: IntArray
    n_gates: int
    n_one_qubit: int
    n_two_qubit: int

    @property
    def max_row_bytes(self) -> int:
        """No row is longer."""
        return sum(len(piece) for piece in self.pieces) + MAX_NUMBER_BYTES * (len(self.pieces) - 1)

    def rows(self, angles: FloatArray, *, before: bytes = b"", after: bytes = b"") -> list[bytes]:
        """The JSON of the gates at each row of ``angles (R, D)``, between ``before`` and ``after``.

        Raises ParameterError for an angle that is not finite.
        """
        values = self.circuit.values(angles)[:, self.order]
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise ParameterError(f"an angle of row {row} is not finite; check the parameter values")
        pieces = list(self.pieces)
        pieces[0], pieces[-1] = before + pieces[0], pieces[-1] + after
        if len(pieces) == 1 or not len(values):
            return [before + self.pieces[0] + after] * len(values)
        return _interleave(pieces, msgspec.json.encode(values.ravel().tolist())[1:-1].split(b","))


def _interleave(pieces: list[bytes], numbers: list[bytes]) -> list[bytes]:
    """For R rows: piece, number, piece, …, piece in one; ``numbers`` holds one row after the other."""
    n_slots = len(pieces) - 1
    n_rows = len(numbers) // n_slots
    width = 2 * n_slots + 1
    parts = [b""] * (n_rows * width)
    for slot, piece in enumerate(pieces):
        parts[2 * slot :: width] = [piece] * n_rows
    for slot in range(n_slots):
        parts[2 * slot + 1 :: width] = numbers[slot::n_slots]
    return [b"".join(parts[start : start + width]) for start in range(0, len(parts), width)]


@dataclass(frozen=True, eq=False)
class MeasuredTemplate:
    """The templates for the rows of one measured circuit; ``split`` is for rows that ``whole`` cannot express."""

    whole: Template
    split: Template | None = None

    @property
    def n_gates(self) -> int:
        """Most gates of one row."""
        return max(template.n_gates for template in (self.whole, self.split) if template)

    @property
    def max_row_bytes(self) -> int:
        """No row is longer."""
        return max(template.max_row_bytes for template in (self.whole, self.split) if template)

    def count_gates(self, angles: FloatArray) -> tuple[int, int]:
        """How many gates on one and on two qubits the rows at ``angles (R, D)`` are billed for together."""
        n_split = 0 if self.split is None else int(np.count_nonzero(self._exceeding(angles)))
        parts = [(self.whole, len(angles) - n_split), (self.split or self.whole, n_split)]
        n_two_qubit = sum(template.n_two_qubit * n_rows for template, n_rows in parts)
        return sum(template.n_one_qubit * n_rows for template, n_rows in parts), n_two_qubit

    def rows(self, angles: FloatArray, *, before: bytes = b"", after: bytes = b"") -> list[bytes]:
        """See Template."""
        if self.split is None:
            return self.whole.rows(angles, before=before, after=after)
        exceeding = self._exceeding(angles)
        whole = iter(self.whole.rows(angles[~exceeding], before=before, after=after))
        split = iter(self.split.rows(angles[exceeding], before=before, after=after))
        return [next(split if is_split else whole) for is_split in exceeding.tolist()]

    def _exceeding(self, angles: FloatArray) -> npt.NDArray[np.bool_]:
        """Which rows ``whole`` cannot express."""
        circuit = self.whole.circuit
        return circuit.exceeds(angles) if isinstance(circuit, NativeCircuit) else np.zeros(len(angles), dtype=np.bool_)


def template_of(gates: GateList, measurement: Measurement, options: Options) -> MeasuredTemplate:
    """The template of a measured circuit in the gate set of the options; the most recent ones are kept."""
    entangler = options.two_qubit if options.gateset == NATIVE else ""
    return _build(gates, measurement.basis.tobytes(), entangler)


@lru_cache(maxsize=_KEPT)
def _build(gates: GateList, basis_bytes: bytes, entangler: str) -> MeasuredTemplate:
    basis = np.frombuffer(basis_bytes, dtype=np.uint8)
    if not entangler:
        return MeasuredTemplate(_serialise(compile_qis(gates, basis=basis)))
    whole = compile_native(gates, basis=basis, entangler=entangler)
    if not whole.may_exceed:
        return MeasuredTemplate(_serialise(whole))
    halves = compile_native(gates, basis=basis, entangler=entangler, pieces=2)
    return MeasuredTemplate(_serialise(whole), _serialise(halves))


def _serialise(circuit: QisCircuit | NativeCircuit) -> Template:
    order: list[int] = []

    def leave_gap(slot: Slot) -> msgspec.Raw:
        order.append(slot.index)
        return msgspec.Raw(_GAP)

    text = msgspec.json.encode(circuit.gates, enc_hook=leave_gap)
    rest = replace(circuit, gates=())
    widths = [_n_qubits(gate) for gate in circuit.gates]
    return Template(
        rest,
        tuple(text.split(_GAP)),
        np.array(order, dtype=np.int64),
        n_gates=len(widths),
        n_one_qubit=widths.count(1),
        n_two_qubit=sum(map(_billed_two_qubit_gates, widths)),
    )


def _billed_two_qubit_gates(n_qubits: int) -> int:
    """As how many gates on two qubits one on ``n_qubits`` is billed: ``6 (n - 2)`` beyond two.

    As Azure Quantum's price page has it for multi-controlled gates on IonQ's machines (edition of December 2024).
    """
    return 6 * (n_qubits - 2) if n_qubits > 2 else int(n_qubits == 2)


def _n_qubits(gate: WireGate) -> int:
    groups = [gate[name] for name in ("targets", "controls") if name in gate]
    listed = sum(len(group) for group in groups if isinstance(group, list))
    return listed + sum(name in gate for name in ("target", "control"))
