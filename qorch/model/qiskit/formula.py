"""SymPy formulas of real parameters, and their derivatives, as postfix programs."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import sympy

from qorch.errors import CircuitError
from qorch.model.qiskit.expression import Operation, Program

Formula = Any
"""A ``sympy.Expr``."""

_FUNCTIONS = MappingProxyType(
    {
        sympy.sin: "sin",
        sympy.cos: "cos",
        sympy.tan: "tan",
        sympy.asin: "asin",
        sympy.acos: "acos",
        sympy.atan: "atan",
        sympy.exp: "exp",
        sympy.log: "log",
        sympy.Abs: "abs",
        sympy.sign: "sign",
    }
)
_FOLDS = MappingProxyType({sympy.Add: "add", sympy.Mul: "mul", sympy.Pow: "pow"})


def as_real(formula: Formula, names: Sequence[str]) -> Formula:
    """The formula with the symbols of these names taken as real numbers.

    Raises CircuitError if it is not a formula, or not real for all real parameters.
    """
    if not isinstance(formula, sympy.Expr):
        raise CircuitError("Qiskit has no formula for it; write a power of a number as (p * log(number)).exp()")
    symbols = {symbol: sympy.Symbol(symbol.name, real=True) for symbol in formula.free_symbols}
    real = formula.xreplace(symbols).replace(sympy.conjugate, lambda argument: argument)
    if real.has(sympy.I):
        raise CircuitError("it is complex; an angle must be a real number")
    if real.has(sympy.nan, sympy.oo, -sympy.oo, sympy.zoo):
        raise CircuitError("it is not finite")
    unknown = {symbol.name for symbol in real.free_symbols} - set(names)
    if unknown:
        raise CircuitError(f"it has the unknown parameter {min(unknown)}")
    return real


def compile_formula(formula: Formula, names: Sequence[str]) -> Program:
    """The formula as a program in which ``names[i]`` is parameter i.

    Operands are in SymPy's canonical order, so that equal formulas give equal programs in every process.
    Raises CircuitError for a function that programs do not have.
    """
    indices = {name: index for index, name in enumerate(names)}
    operations: list[Operation] = []
    _emit(formula, indices, operations)
    return Program(tuple(operations))


def differentiate(formula: Formula, names: Sequence[str]) -> tuple[tuple[int, ...], tuple[Program, ...]]:
    """The parameters that the formula depends on (indices into ``names``), and its derivative by each.

    The sign of a subexpression is differentiated as the constant that it is almost everywhere; SymPy
    would give a Dirac delta.
    """
    signs: dict[Formula, Formula] = {}

    def freeze_sign(argument: Formula) -> Formula:
        symbol = sympy.Symbol(f"sign{len(signs):06d}", real=True)
        signs[symbol] = argument
        return symbol

    frozen = formula.replace(sympy.Abs, lambda argument: argument * freeze_sign(argument))
    frozen = frozen.replace(sympy.sign, freeze_sign)
    places = {symbol.name: symbol for symbol in formula.free_symbols}
    parameters = tuple(index for index, name in enumerate(names) if name in places)
    derivatives = []
    for index in parameters:
        derivative = frozen.diff(places[names[index]])
        for symbol, argument in reversed(signs.items()):
            derivative = derivative.xreplace({symbol: sympy.sign(argument)})
        derivatives.append(compile_formula(derivative, names))
    return parameters, tuple(derivatives)


def _emit(formula: Formula, indices: dict[str, int], operations: list[Operation]) -> None:
    if formula.is_Symbol:
        operations.append(("parameter", float(indices[formula.name])))
    elif formula.is_number and not formula.args:
        operations.append(("constant", float(formula)))
    elif formula.func in _FUNCTIONS:
        _emit(formula.args[0], indices, operations)
        operations.append((_FUNCTIONS[formula.func], 0.0))
    elif formula.func in _FOLDS:
        _emit_fold(formula, indices, operations)
    else:
        known = ", ".join(sorted(_FUNCTIONS.values()))
        raise CircuitError(f"it uses {formula.func.__name__}; the functions of an angle are {known} and powers")


def _emit_fold(formula: Formula, indices: dict[str, int], operations: list[Operation]) -> None:
    is_power = formula.func is sympy.Pow
    arguments = formula.args if is_power else sorted(formula.args, key=sympy.default_sort_key)
    for place, argument in enumerate(arguments):
        _emit(argument, indices, operations)
        if place:
            operations.append((_FOLDS[formula.func], 0.0))
