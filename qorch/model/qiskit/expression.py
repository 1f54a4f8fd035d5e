"""Non-linear parameter expressions as postfix programs: evaluated for all rows at once."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from qorch.model.arrays import FloatArray

Operation = tuple[str, float]
"""``("constant", value)``, ``("parameter", index)`` or ``(name of an operator, 0.0)``."""

UNARY: MappingProxyType[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "exp": np.exp,
        "log": np.log,
        "abs": np.abs,
        "sign": np.sign,
    }
)
BINARY: MappingProxyType[str, Callable[[FloatArray, FloatArray], FloatArray]] = MappingProxyType(
    {"add": np.add, "mul": np.multiply, "pow": np.power}
)


@dataclass(frozen=True)
class Program:
    """One real-valued expression of the circuit's parameters, in postfix order."""

    operations: tuple[Operation, ...]

    def evaluate(self, values: FloatArray) -> FloatArray:
        """The expression at every row of ``values`` ``(N, P)``, ``(N,)``; not finite outside its domain."""
        stack: list[FloatArray] = []
        with np.errstate(all="ignore"):
            for name, operand in self.operations:
                if name == "constant":
                    stack.append(np.full(len(values), operand))
                elif name == "parameter":
                    stack.append(values[:, int(operand)])
                elif name in UNARY:
                    stack.append(UNARY[name](stack.pop()))
                else:
                    right = stack.pop()
                    stack.append(BINARY[name](stack.pop(), right))
        return stack.pop()

    def to_bytes(self) -> bytes:
        """A canonical encoding, for digests."""
        return ";".join(f"{name}:{float(operand).hex()}" for name, operand in self.operations).encode()


@dataclass(frozen=True)
class NonlinearAngle:
    """An angle that is not an affine function of the parameters, with its derivatives.

    ``derivatives`` has one program per entry of ``parameters`` (indices into the circuit's parameters).
    """

    column: int
    value: Program
    parameters: tuple[int, ...]
    derivatives: tuple[Program, ...]

    def to_bytes(self) -> bytes:
        """A canonical encoding, for digests; the derivatives follow from the value."""
        return f"{self.column}=".encode() + self.value.to_bytes()
