"""Gates that Aer 0.17 and 0.18 lack or bind wrongly, written with gates that they have.

Aer knows no `ch`, and leaves the angles of `crx`, `cry`, `crz` and `cp` at zero if they are `parameter_binds`
(qiskit-aer issues 2323, 2391, 2403; seen with 0.18.2, and guarded by the conformance suite).
Decompositions: Barenco et al., Phys. Rev. A 52, 3457 (1995), section 5.
"""

from collections.abc import Iterator

from qorch.model.circuit import FIXED, GateList

Angle = tuple[int, float]
"""``(FIXED, radians)``, or the column of a row's angles and the factor that it is multiplied with."""
NativeGate = tuple[str, tuple[int, ...], tuple[Angle, ...]]

REWRITTEN = frozenset({"ch", "crx", "cry", "crz", "cp"})


def native_gates(gates: GateList) -> Iterator[NativeGate]:
    """The gates in order, those of REWRITTEN replaced."""
    for gate, qubits, given in gates.instructions():
        angles = tuple((FIXED, angle.radians) if angle.column == FIXED else (angle.column, 1.0) for angle in given)
        if gate.name in REWRITTEN:
            control, target = qubits
            yield from _rewrite(gate.name, control, target, *angles)
        else:
            yield gate.name, qubits, angles


def _rewrite(name: str, control: int, target: int, angle: Angle = (FIXED, 0.0)) -> list[NativeGate]:
    cx: NativeGate = ("cx", (control, target), ())
    half, back = (angle[0], angle[1] / 2), (angle[0], -angle[1] / 2)
    if name == "ch":
        return [*_plain("s h t", target), cx, *_plain("tdg h sdg", target)]
    if name == "cp":
        return [("p", (control,), (half,)), cx, ("p", (target,), (back,)), cx, ("p", (target,), (half,))]
    if name == "cry":
        return [("ry", (target,), (half,)), cx, ("ry", (target,), (back,)), cx]
    crz: list[NativeGate] = [("rz", (target,), (half,)), cx, ("rz", (target,), (back,)), cx]
    return crz if name == "crz" else [*_plain("h", target), *crz, *_plain("h", target)]


def _plain(names: str, qubit: int) -> list[NativeGate]:
    return [(name, (qubit,), ()) for name in names.split()]
