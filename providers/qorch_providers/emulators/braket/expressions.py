"""Angles as programs write them: numbers, inputs, arithmetic and a few functions; computed for many rows at once."""

import ast
import functools
import math
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from qorch.errors import CircuitError
from qorch_providers.emulators.statevector.matrices import Floats

_CONSTANTS = MappingProxyType(
    {"pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e}
)
_FUNCTIONS: Mapping[str, Callable[..., Floats]] = MappingProxyType(
    {
        "sin": np.sin, "cos": np.cos, "tan": np.tan, "exp": np.exp, "log": np.log, "ln": np.log, "sqrt": np.sqrt,
        "arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan, "abs": np.abs, "mod": np.mod, "pow": np.power,
    }
)  # fmt: skip
_OPERATORS: Mapping[type[ast.operator], Callable[..., Floats]] = MappingProxyType(
    {
        ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
        ast.Pow: operator.pow, ast.Mod: operator.mod,
    }
)  # fmt: skip

Expression = float | ast.expr


@functools.lru_cache(maxsize=4096)
def parse_expression(text: str) -> Expression:
    """Read an angle. Raises CircuitError."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise CircuitError(f"'{text[:80]}' is not an angle") from error


def parse_number(text: str) -> float:
    """Read an angle that depends on no input. Raises CircuitError."""
    return float(evaluate(parse_expression(text), {}))


def evaluate(expression: Expression, inputs: Mapping[str, Floats]) -> Floats | float:
    """Its value, ``(R,)`` or one for all rows. Raises CircuitError for what is not known here."""
    if isinstance(expression, float):
        return expression
    try:
        # What is not a number in some row is refused with that row, by `lower`.
        with np.errstate(all="ignore"):
            return _evaluate(expression, inputs)
    except (ArithmeticError, RecursionError, TypeError) as error:
        raise CircuitError(f"an angle cannot be computed: {error}") from error


def _evaluate(node: ast.expr, inputs: Mapping[str, Floats]) -> Floats | float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return _look_up(node.id, inputs)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluate(node.operand, inputs)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.left, inputs), _evaluate(node.right, inputs))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        return _FUNCTIONS[node.func.id](*(_evaluate(argument, inputs) for argument in node.args))
    raise CircuitError(f"'{ast.unparse(node)[:80]}' is not supported in an angle")


def _look_up(name: str, inputs: Mapping[str, Floats]) -> Floats | float:
    if name in inputs:
        return inputs[name]
    if name not in _CONSTANTS:
        raise CircuitError(f"'{name}' is not declared; declare it as `input float {name};`")
    return _CONSTANTS[name]
