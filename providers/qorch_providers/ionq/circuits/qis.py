"""qorch's gates in IonQ's QIS gates: one for one if there is such a gate, else exactly decomposed.

All equalities hold up to a global phase. The controlled rotations come from
``CR_P(t) = R_P(t/2) exp(i t/4 Z P)``, with X and Y turned into Z by h and v.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import ByteArray, FloatArray
from qorch.model.circuit import GateList
from qorch.model.observable import X, Y
from qorch_providers.ionq.circuits.slots import Angle, Slot, WireGate, fixed, iterate_gates


@dataclass(frozen=True)
class Step:
    """One IonQ gate of a decomposition.

    ``targets`` and ``controls`` are places among the qubits of the gate that is decomposed; the rotation is
    ``factor`` times its angle number ``angle``, or ``constant``, or there is none.
    """

    gate: str
    targets: tuple[int, ...] = (0,)
    controls: tuple[int, ...] = ()
    angle: int | None = None
    factor: float = 1.0
    constant: float | None = None


def _turn(gate: str, target: int, *, angle: int = 0, factor: float = 1.0) -> Step:
    return Step(gate, (target,), angle=angle, factor=factor)


_H1, _V1, _VI1 = Step("h", (1,)), Step("v", (1,)), Step("vi", (1,))
_MINUS_HALF_ZZ = Step("zz", (0, 1), angle=0, factor=-0.5)

STEPS: MappingProxyType[str, tuple[Step, ...]] = MappingProxyType(
    {
        "x": (Step("x"),),
        "y": (Step("y"),),
        "z": (Step("z"),),
        "h": (Step("h"),),
        "s": (Step("s"),),
        "sdg": (Step("si"),),
        "t": (Step("t"),),
        "tdg": (Step("ti"),),
        "sx": (Step("v"),),
        "sxdg": (Step("vi"),),
        "rx": (_turn("rx", 0),),
        "ry": (_turn("ry", 0),),
        "rz": (_turn("rz", 0),),
        "p": (_turn("rz", 0),),
        "u": (_turn("rz", 0, angle=2), _turn("ry", 0, angle=0), _turn("rz", 0, angle=1)),
        "cx": (Step("cnot", (1,), (0,)),),
        "cy": (Step("y", (1,), (0,)),),
        "cz": (Step("z", (1,), (0,)),),
        "ch": (
            Step("ry", (1,), constant=-math.pi / 4),
            Step("z", (1,), (0,)),
            Step("ry", (1,), constant=math.pi / 4),
        ),
        "swap": (Step("swap", (0, 1)),),
        "crx": (_turn("rx", 1, factor=0.5), _H1, _MINUS_HALF_ZZ, _H1),
        "cry": (_turn("ry", 1, factor=0.5), _V1, _MINUS_HALF_ZZ, _VI1),
        "crz": (_turn("rz", 1, factor=0.5), _MINUS_HALF_ZZ),
        "cp": (_turn("rz", 0, factor=0.5), _turn("rz", 1, factor=0.5), _MINUS_HALF_ZZ),
        "rxx": (Step("xx", (0, 1), angle=0),),
        "ryy": (Step("yy", (0, 1), angle=0),),
        "rzz": (Step("zz", (0, 1), angle=0),),
        "rzx": (_H1, Step("zz", (0, 1), angle=0), _H1),
        "ccx": (Step("x", (2,), (0, 1)),),
    }
)


@dataclass(frozen=True, eq=False)
class QisCircuit:
    """See WireCircuit. Slot s is ``factors[s]`` times column ``columns[s]``, in radians."""

    gates: tuple[WireGate, ...]
    columns: npt.NDArray[np.int64]
    factors: FloatArray

    def values(self, angles: FloatArray) -> FloatArray:
        """See WireCircuit."""
        return np.asarray(angles[:, self.columns] * self.factors, dtype=np.float64)


def compile_qis(gates: GateList, *, basis: ByteArray) -> QisCircuit:
    """The circuit, and the rotations that turn a measurement in ``basis (n,)`` into one of Z."""
    wire: list[WireGate] = []
    slots: list[Angle] = []
    for name, qubits, angles in iterate_gates(gates):
        wire += [_wire_gate(step, qubits, angles, slots) for step in STEPS[name]]
    for qubit, letter in enumerate(basis.tolist()):
        steps = (Step("h"),) if letter == X else (Step("si"), Step("h")) if letter == Y else ()
        wire += [_wire_gate(step, (qubit,), (), slots) for step in steps]
    columns = np.array([angle.column for angle in slots], dtype=np.int64)
    return QisCircuit(tuple(wire), columns, np.array([angle.factor for angle in slots], dtype=np.float64))


def _wire_gate(step: Step, qubits: tuple[int, ...], angles: tuple[Angle, ...], slots: list[Angle]) -> WireGate:
    """The step as JSON; an angle that differs from row to row is added to ``slots``."""
    gate: WireGate = {"gate": step.gate}
    targets = [qubits[place] for place in step.targets]
    controls = [qubits[place] for place in step.controls]
    if step.gate == "cnot":
        gate.update(control=controls[0], target=targets[0])
    elif controls:
        gate.update(targets=list(targets), controls=list(controls))
    elif len(targets) == 1:
        gate["target"] = targets[0]
    else:
        gate["targets"] = list(targets)
    angle = _rotation(step, angles)
    if angle is not None and angle.is_free:
        gate["rotation"] = Slot(len(slots))
        slots.append(angle)
    elif angle is not None:
        gate["rotation"] = angle.constant
    return gate


def _rotation(step: Step, angles: tuple[Angle, ...]) -> Angle | None:
    if step.constant is not None:
        return fixed(step.constant)
    return None if step.angle is None else angles[step.angle].times(step.factor)
