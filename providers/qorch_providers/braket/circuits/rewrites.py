"""qorch's gates in those that a device of Braket has: one for one if it can be, else exactly decomposed.

All equalities hold up to a global phase. Of several ways, the one with the fewest gates on two qubits is chosen, and
among those the one with the fewest gates. Sources of the less known equalities: the controlled rotations come from
``CR_P(t) = R_P(t/2) exp(i t/4 Z P)``; ``prx(pi, a) prx(pi, b)`` is a rotation about Z by ``2 (a - b)``; an iSWAP
carries X of one qubit into Z Y of both.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from qorch.model.circuit import FIXED

_PI = math.pi


@dataclass(frozen=True)
class SlotAngle:
    """``factor`` times column ``column`` of the row, plus ``constant``, in radians; FIXED: the constant alone."""

    column: int
    factor: float
    constant: float

    @property
    def is_free(self) -> bool:
        """Whether it differs from row to row."""
        return self.column != FIXED


@dataclass(frozen=True)
class StepAngle:
    """An angle of a step: ``factor`` times angle number ``source`` of the gate that is rewritten, plus ``constant``.

    ``source`` None: the constant alone.
    """

    source: int | None = None
    factor: float = 1.0
    constant: float = 0.0

    def within(self, outer: "tuple[StepAngle, ...]") -> "StepAngle":
        """This angle in terms of the angles of a gate whose own step has the angles ``outer``."""
        if self.source is None:
            return self
        base = outer[self.source]
        constant = self.factor * base.constant + self.constant
        return StepAngle(base.source, self.factor * base.factor if base.source is not None else 1.0, constant)

    def of(self, angles: tuple[SlotAngle, ...]) -> SlotAngle:
        """This angle of a gate with the given angles."""
        if self.source is None:
            return SlotAngle(FIXED, 0.0, self.constant)
        base = angles[self.source]
        return SlotAngle(base.column, self.factor * base.factor, self.factor * base.constant + self.constant)


@dataclass(frozen=True)
class GateStep:
    """One gate of a decomposition; ``places`` are among the qubits of the gate that is rewritten."""

    gate: str
    places: tuple[int, ...] = (0,)
    angles: tuple[StepAngle, ...] = ()


Steps = tuple[GateStep, ...]


BRAKET_GATES = MappingProxyType(
    dict.fromkeys(("x", "y", "z", "h", "s", "si", "t", "ti", "v", "vi"), 0)
    | dict.fromkeys(("cnot", "cy", "cz", "swap", "iswap", "ccnot"), 0)
    | dict.fromkeys(("rx", "ry", "rz", "phaseshift", "gpi", "gpi2"), 1)
    | dict.fromkeys(("cphaseshift", "xx", "yy", "zz", "xy"), 1)
    | {"prx": 2, "ms": 3}
)
"""Braket's gates that circuits are written in, and how many angles each takes."""


def _same(gate: str, n_qubits: int, *, n_angles: int = 0) -> Steps:
    """The same gate under Braket's name."""
    return (GateStep(gate, tuple(range(n_qubits)), tuple(StepAngle(index) for index in range(n_angles))),)


def _turn(gate: str, *places: int, source: int = 0, factor: float = 1.0, constant: float = 0.0) -> GateStep:
    """A gate with one angle that depends on an angle of the gate that is rewritten."""
    return GateStep(gate, places or (0,), (StepAngle(source, factor, constant),))


def _fixed(gate: str, *places: int, angle: float | None = None) -> GateStep:
    """A gate without an angle, or with the same in all rows."""
    return GateStep(gate, places or (0,), () if angle is None else (StepAngle(constant=angle),))


def _prx(angle: StepAngle, phase: StepAngle) -> GateStep:
    return GateStep("prx", (0,), (angle, phase))


_H0, _H1 = _fixed("h", 0), _fixed("h", 1)
_MINUS_HALF_ZZ = _turn("zz", 0, 1, factor=-0.5)
_HALF_TURN = StepAngle(constant=_PI)

_RULES: MappingProxyType[str, tuple[Steps, ...]] = MappingProxyType(
    {
        # On one qubit.
        "x": ((_fixed("gpi", angle=0.0),), (_fixed("rx", angle=_PI),)),
        "y": ((_fixed("gpi", angle=_PI / 2),), (_fixed("ry", angle=_PI),)),
        "z": ((_fixed("rz", angle=_PI),),),
        "h": (
            (_fixed("gpi2", angle=_PI / 2), _fixed("gpi", angle=0.0)),
            (_fixed("ry", angle=_PI / 2), _fixed("x")),
            (_fixed("z"), _fixed("ry", angle=_PI / 2)),
            (_fixed("rz", angle=_PI / 2), _fixed("rx", angle=_PI / 2), _fixed("rz", angle=_PI / 2)),
        ),
        "s": ((_fixed("rz", angle=_PI / 2),),),
        "si": ((_fixed("rz", angle=-_PI / 2),),),
        "sdg": (_same("si", 1),),
        "t": ((_fixed("rz", angle=_PI / 4),),),
        "ti": ((_fixed("rz", angle=-_PI / 4),),),
        "tdg": (_same("ti", 1),),
        "v": ((_fixed("gpi2", angle=0.0),), (_fixed("rx", angle=_PI / 2),)),
        "vi": ((_fixed("gpi2", angle=_PI),), (_fixed("rx", angle=-_PI / 2),)),
        "sx": (_same("v", 1),),
        "sxdg": (_same("vi", 1),),
        "rx": (
            (_prx(StepAngle(0), StepAngle()),),
            (_fixed("gpi2", angle=_PI / 2), _turn("gpi", factor=0.5, constant=-_PI / 2), _fixed("gpi2", angle=_PI / 2)),
            (_fixed("h"), _turn("rz"), _fixed("h")),
        ),
        "ry": (
            (_prx(StepAngle(0), StepAngle(constant=_PI / 2)),),
            (_fixed("gpi2", angle=_PI), _turn("gpi", factor=0.5), _fixed("gpi2", angle=_PI)),
            (_fixed("si"), _turn("rx"), _fixed("s")),
        ),
        "rz": (
            (_turn("phaseshift"),),
            (_prx(_HALF_TURN, StepAngle()), _prx(_HALF_TURN, StepAngle(0, 0.5))),
            (_fixed("gpi", angle=0.0), _turn("gpi", factor=0.5)),
            (_fixed("rx", angle=-_PI / 2), _turn("ry"), _fixed("rx", angle=_PI / 2)),
        ),
        "phaseshift": ((_turn("rz"),),),
        "p": (_same("phaseshift", 1, n_angles=1),),
        "u": ((_turn("rz", source=2), _turn("ry", source=0), _turn("rz", source=1)),),
        # On two qubits.
        "cnot": ((_H1, _fixed("cz", 0, 1), _H1),),
        "cx": (_same("cnot", 2),),
        "cy": ((_fixed("si", 1), _fixed("cnot", 0, 1), _fixed("s", 1)),),
        "cz": (
            (_fixed("cphaseshift", 0, 1, angle=_PI),),
            (_H1, _fixed("cnot", 0, 1), _H1),
        ),
        "ch": ((_fixed("ry", 1, angle=-_PI / 4), _fixed("cz", 0, 1), _fixed("ry", 1, angle=_PI / 4)),),
        "swap": (
            tuple(_fixed(gate, 0, 1, angle=_PI / 2) for gate in ("xx", "yy", "zz")),
            (_fixed("si", 0), _fixed("si", 1), _fixed("cz", 0, 1), _fixed("iswap", 0, 1)),
            (_fixed("cnot", 0, 1), _fixed("cnot", 1, 0), _fixed("cnot", 0, 1)),
        ),
        "iswap": ((_fixed("xy", 0, 1, angle=_PI),),),
        "cphaseshift": ((_turn("rz", 0, factor=0.5), _turn("rz", 1, factor=0.5), _MINUS_HALF_ZZ),),
        "cp": (_same("cphaseshift", 2, n_angles=1),),
        "crx": ((_turn("rx", 1, factor=0.5), _H1, _MINUS_HALF_ZZ, _H1),),
        "cry": ((_turn("ry", 1, factor=0.5), _fixed("v", 1), _MINUS_HALF_ZZ, _fixed("vi", 1)),),
        "crz": ((_turn("rz", 1, factor=0.5), _MINUS_HALF_ZZ),),
        "zz": (
            (_turn("rz", 0), _turn("rz", 1), _turn("cphaseshift", 0, 1, factor=-2.0)),
            (_fixed("cnot", 0, 1), _turn("rz", 1), _fixed("cnot", 0, 1)),
            (_H0, _H1, _turn("xx", 0, 1), _H0, _H1),
            (
                _fixed("rx", 1, angle=-_PI / 2),
                _fixed("z", 0),
                _fixed("z", 1),
                _fixed("iswap", 0, 1),
                _turn("rx", 0),
                _fixed("iswap", 0, 1),
                _fixed("rx", 1, angle=_PI / 2),
            ),
        ),
        "xx": (
            (GateStep("ms", (0, 1), (StepAngle(), StepAngle(), StepAngle(0))),),
            (_H0, _H1, _turn("zz", 0, 1), _H0, _H1),
        ),
        "yy": (
            (_fixed("v", 0), _fixed("v", 1), _turn("zz", 0, 1), _fixed("vi", 0), _fixed("vi", 1)),
            (_fixed("si", 0), _fixed("si", 1), _turn("xx", 0, 1), _fixed("s", 0), _fixed("s", 1)),
        ),
        "rxx": (_same("xx", 2, n_angles=1),),
        "ryy": (_same("yy", 2, n_angles=1),),
        "rzz": (_same("zz", 2, n_angles=1),),
        "rzx": ((_H1, _turn("zz", 0, 1), _H1),),
        # On three qubits.
        "ccnot": (
            (
                _fixed("h", 2),
                _fixed("cnot", 1, 2),
                _fixed("ti", 2),
                _fixed("cnot", 0, 2),
                _fixed("t", 2),
                _fixed("cnot", 1, 2),
                _fixed("ti", 2),
                _fixed("cnot", 0, 2),
                _fixed("t", 1),
                _fixed("t", 2),
                _fixed("h", 2),
                _fixed("cnot", 0, 1),
                _fixed("t", 0),
                _fixed("ti", 1),
                _fixed("cnot", 0, 1),
            ),
        ),
        "ccx": (_same("ccnot", 3),),
    }
)
"""Ways to write a gate, each by gates that may need to be rewritten themselves."""

_Cost = tuple[int, int]


@lru_cache(maxsize=64)
def recipes_for(available: frozenset[str]) -> MappingProxyType[str, Steps]:
    """For each gate that can be written by ``available`` gates of Braket: its steps, all of them available."""
    usable = available & BRAKET_GATES.keys()
    choice = _choose(usable)
    found: dict[str, Steps] = {}

    def expand(step: GateStep) -> Steps:
        if step.gate in usable:
            return (step,)
        return tuple(_place(inner, step) for inner in recipe(step.gate))

    def recipe(gate: str) -> Steps:
        if gate not in found:
            found[gate] = tuple(part for step in choice[gate] for part in expand(step))
        return found[gate]

    for gate in choice:
        recipe(gate)
    return MappingProxyType(found)


def _place(inner: GateStep, outer: GateStep) -> GateStep:
    """A step of a step, in terms of the qubits and angles of the whole."""
    places = tuple(outer.places[place] for place in inner.places)
    return GateStep(inner.gate, places, tuple(angle.within(outer.angles) for angle in inner.angles))


def _choose(usable: frozenset[str]) -> dict[str, Steps]:
    """The cheapest way to write each gate; costs only fall from round to round, until none does."""
    cost: dict[str, _Cost] = {gate: (int(_is_wide(gate)), 1) for gate in usable}
    choice: dict[str, Steps] = {gate: _same_of(gate) for gate in usable}
    is_settled = False
    while not is_settled:
        is_settled = True
        for gate, ways in _RULES.items():
            for steps in ways:
                sum_of = _add(cost, steps)
                if sum_of is not None and sum_of < cost.get(gate, (1 << 30, 0)):
                    cost[gate], choice[gate], is_settled = sum_of, steps, False
    return choice


def _add(cost: dict[str, _Cost], steps: Steps) -> _Cost | None:
    """What the steps cost together; None if one of them cannot be written yet."""
    if not all(step.gate in cost for step in steps):
        return None
    return sum(cost[step.gate][0] for step in steps), sum(cost[step.gate][1] for step in steps)


_WIDE = ("cnot", "cy", "cz", "swap", "iswap", "ccnot", "cphaseshift", "xx", "yy", "zz", "xy", "ms")


def _is_wide(gate: str) -> bool:
    """Whether the gate acts on two qubits or more."""
    return gate in _WIDE


def _same_of(gate: str) -> Steps:
    n_qubits = 3 if gate == "ccnot" else 1 + int(_is_wide(gate))
    return _same(gate, n_qubits, n_angles=BRAKET_GATES[gate])
