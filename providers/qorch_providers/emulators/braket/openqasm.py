"""Read OpenQASM 3 as far as Braket's circuits are written in it: gates, modifiers, inputs, measurement and pragmas.

Control flow, definitions of gates and pulses are refused by name and line, as is any other statement.
"""

import functools
import re
from collections.abc import Iterator

import numpy as np

from qorch.errors import CircuitError
from qorch_providers.emulators.braket.expressions import Expression, parse_expression, parse_number
from qorch_providers.emulators.braket.gates import GATES
from qorch_providers.emulators.braket.noise_gates import check_kraus, make_channel
from qorch_providers.emulators.braket.pragmas import parse_matrix, parse_result, split_call
from qorch_providers.emulators.braket.program import ProgramStep, ResultRequest, SourceProgram

_INPUT = re.compile(r"input\s+(?:float|angle|int)(?:\[\d+\])?\s+(\w+)")
_REGISTER = re.compile(r"(qubit|bit)(?:\[(\d{1,4})\])?\s+(\w+)")
_MEASURE = re.compile(r"(?:(\w+)(?:\[(\d+)\])?\s*=\s*)?measure\s+(.+)")
_MODIFIER = re.compile(r"(ctrl|negctrl|pow|inv)\b\s*(?:\(([^()]*(?:\([^()]*\))?[^()]*)\))?\s*@\s*")
_GATE = re.compile(r"([A-Za-z_]\w*)\s*(.*)", re.DOTALL)
_QUBIT = re.compile(r"\$(\d+)|(\w+)(?:\[(\d+)\])?")
_VERSION = re.compile(r"OPENQASM\s+3(?:\.\d+)?")
_PLAIN_LINE = re.compile(r"[^;{}]*;")
_WORD = re.compile(r"\w*")
_IGNORED = ("barrier", "delay")


@functools.lru_cache(maxsize=256)
def read_program(source: str) -> SourceProgram:
    """Read a program. Raises CircuitError, with the line."""
    reader = _Reader()
    for line, statement in _statements(source):
        reader.line = line
        try:
            reader.read(statement)
        except CircuitError as error:
            raise CircuitError(f"[line {line}] {error}") from error
    return reader.finish()


def _statements(source: str) -> Iterator[tuple[int, str]]:
    """The statements, each with the line on which it ends; braces count as statements of their own."""
    pending = ""
    number = 0
    for number, whole in enumerate(re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL).splitlines(), 1):
        text = whole.partition("//")[0].strip()
        if text.startswith(("#pragma", "pragma")):
            yield number, text
            continue
        if not pending.strip() and _PLAIN_LINE.fullmatch(text) is not None:
            yield number, text[:-1].rstrip()
            continue
        *complete, pending = re.split(r"(?<=[;{}])", f"{pending} {text}")
        yield from ((number, part.strip().rstrip(";").strip()) for part in complete)
    if pending.strip():
        raise CircuitError(f"[line {number}] '{pending.strip()[:60]}' does not end with ;")


class _Reader:
    """One program while it is read."""

    def __init__(self) -> None:
        self.line = 0
        self._inputs: list[str] = []
        self._registers: dict[str, tuple[int, ...]] = {}
        self._bits: dict[str, tuple[int, int | None]] = {}
        self._n_qubits = 0
        self._physical: set[int] = set()
        self._steps: list[ProgramStep] = []
        self._measured: dict[tuple[int, int], int] = {}
        self._results: list[ResultRequest] = []
        self._box = ""
        self._known_operands: dict[str, list[tuple[int, ...]]] = {}

    def finish(self) -> SourceProgram:
        """The program. Raises CircuitError if it has no qubits."""
        if self._box:
            raise CircuitError(f"[line {self.line}] a verbatim box is not closed")
        qubits = tuple(range(self._n_qubits)) or tuple(sorted(self._physical))
        if not qubits:
            raise CircuitError("the program has no qubits")
        measured = tuple(self._measured[bit] for bit in sorted(self._measured))
        if len(set(measured)) != len(measured):
            raise CircuitError("a qubit is measured twice")
        if measured and self._results:
            raise CircuitError("a program has either measure statements or result pragmas")
        return SourceProgram(
            tuple(self._inputs), qubits, not self._n_qubits, tuple(self._steps), measured or qubits,
            tuple(self._results),
        )  # fmt: skip

    def read(self, statement: str) -> None:
        """Take one statement in."""
        if (word := _WORD.match(statement)) is not None and word[0] in GATES:
            self._read_gate(statement)
        elif statement.startswith(("#pragma", "pragma")):
            self._read_pragma(statement.split("pragma", 1)[1].strip())
        elif self._is_framing(statement):
            return
        elif (found := _INPUT.fullmatch(statement)) is not None:
            self._inputs.append(found[1])
        elif (found := _REGISTER.fullmatch(statement)) is not None:
            self._declare(found[1], found[3], None if found[2] is None else int(found[2]))
        elif (found := _MEASURE.fullmatch(statement)) is not None:
            self._measure(found[1], found[2], found[3])
        else:
            self._read_gate(statement)

    def _is_framing(self, statement: str) -> bool:
        """Whether it is the version, a box, or nothing."""
        if self._box == "announced" and re.fullmatch(r"box\s*\{", statement):
            self._box = "open"
            return True
        if self._box == "open" and statement == "}":
            self._box = ""
            return True
        is_void = not statement or statement.split()[0] in _IGNORED
        return is_void or _VERSION.fullmatch(statement) is not None

    def _declare(self, kind: str, name: str, size: int | None) -> None:
        if name in self._registers or name in self._bits:
            raise CircuitError(f"'{name}' is declared twice")
        if kind == "bit":
            self._bits[name] = (len(self._bits), size)
            return
        if self._physical:
            raise CircuitError("a program has either a qubit register or physical qubits")
        self._registers[name] = tuple(range(self._n_qubits, self._n_qubits + (size or 1)))
        self._n_qubits += size or 1

    def _measure(self, bits: str | None, index: str | None, qubits: str) -> None:
        targets = self._find_qubits(qubits)
        if bits is None:
            places = [(len(self._bits), len(self._measured) + offset) for offset in range(len(targets))]
        else:
            if bits not in self._bits:
                raise CircuitError(f"bit '{bits}' is not declared")
            order, size = self._bits[bits]
            first = int(index or 0)
            if first + len(targets) > (size or 1):
                raise CircuitError(f"bit '{bits}' has {size or 1} place(s)")
            places = [(order, first + offset) for offset in range(len(targets))]
        self._measured.update(zip(places, targets, strict=True))

    def _find_qubits(self, text: str) -> tuple[int, ...]:
        """The qubits that a list of operands names, registers spread out. Raises CircuitError."""
        return tuple(qubit for operand in self._operands(text) for qubit in operand)

    def _operands(self, text: str) -> list[tuple[int, ...]]:
        if text not in self._known_operands:
            parts = text.split(",") if text.strip() else []
            self._known_operands[text] = [self._find_operand(part.strip()) for part in parts]
        return self._known_operands[text]

    def _find_operand(self, text: str) -> tuple[int, ...]:
        found = _QUBIT.fullmatch(text)
        if found is None:
            raise CircuitError(f"'{text[:60]}' is not a qubit")
        if found[1] is not None:
            if self._n_qubits:
                raise CircuitError("a program has either a qubit register or physical qubits")
            self._physical.add(int(found[1]))
            return (int(found[1]),)
        register = self._registers.get(found[2])
        if register is None:
            raise CircuitError(f"'{found[2]}' is not a declared register of qubits")
        if found[3] is None:
            return register
        if int(found[3]) >= len(register):
            raise CircuitError(f"register '{found[2]}' has {len(register)} qubit(s), not {int(found[3]) + 1}")
        return (register[int(found[3])],)

    def _read_gate(self, statement: str) -> None:
        controls: list[int] = []
        exponent, rest = 1.0, statement
        while "@" in rest and (found := _MODIFIER.match(rest)) is not None:
            rest = rest[found.end() :]
            if found[1] == "inv":
                exponent = -exponent
            elif found[1] == "pow":
                exponent *= parse_number(found[2] or "")
            else:
                controls += [int(found[1] == "ctrl")] * int(found[2] or 1)
        name, angles, operands = self._split_gate(rest)
        gate = GATES[name]
        if len(angles) != gate.n_angles:
            raise CircuitError(f"gate '{name}' takes {gate.n_angles} angle(s), not {len(angles)}")
        values = (*controls, *(1,) * gate.n_controls)
        for qubits in _spread(name, operands, len(values) + gate.n_targets):
            self._add(
                ProgramStep(
                    name, self.line, qubits[len(values) :], angles, tuple(zip(qubits, values, strict=False)), exponent,
                    is_verbatim=self._box == "open",
                )
            )  # fmt: skip

    def _split_gate(self, text: str) -> tuple[str, tuple[Expression, ...], list[tuple[int, ...]]]:
        found = _GATE.fullmatch(text)
        if found is None:
            raise CircuitError(f"'{text[:60]}' is not supported by this emulator")
        name, rest = found[1], found[2]
        if name not in GATES:
            raise CircuitError(f"uses '{name}', which is neither a gate nor a statement that this emulator supports")
        arguments, rest = split_call(rest)
        return name, tuple(parse_expression(each) for each in arguments), self._operands(rest)

    def _add(self, step: ProgramStep) -> None:
        qubits = (*step.targets, *(qubit for qubit, _ in step.controls))
        if len(set(qubits)) != len(qubits):
            raise CircuitError(f"gate '{step.name}' acts twice on a qubit")
        if self._measured:
            raise CircuitError(f"gate '{step.name}' follows a measurement, which this emulator does not support")
        self._steps.append(step)

    def _read_pragma(self, text: str) -> None:
        words = text.split(None, 2)
        if words[:1] != ["braket"] or len(words) < 2:
            raise CircuitError(f"pragma '{text[:60]}' is not supported")
        if words[1] == "verbatim":
            self._box = "announced"
        elif words[1] == "result":
            self._results.append(parse_result(text.split("result", 1)[1].strip(), self._find_qubits))
        elif words[1] == "noise":
            self._read_noise(text.split("noise", 1)[1].strip())
        elif words[1].startswith("unitary"):
            self._read_unitary(text.split("unitary", 1)[1].strip())
        else:
            raise CircuitError(f"pragma '{text[:60]}' is not supported")

    def _read_noise(self, text: str) -> None:
        name, _, rest = text.partition("(")
        arguments, rest = split_call("(" + rest)
        targets = self._find_qubits(rest)
        if name.strip() == "kraus":
            operators = tuple(parse_matrix(each) for each in arguments)
            width = check_kraus(operators)
        else:
            width, operators = make_channel(name.strip(), tuple(parse_number(each) for each in arguments))
        if len(targets) != width:
            raise CircuitError(f"noise '{name.strip()}' acts on {width} qubit(s), not {len(targets)}")
        self._add(ProgramStep(name.strip(), self.line, targets, kraus=operators))

    def _read_unitary(self, text: str) -> None:
        arguments, rest = split_call(text)
        if len(arguments) != 1:
            raise CircuitError("unitary takes one matrix")
        matrix, targets = parse_matrix(arguments[0]), self._find_qubits(rest)
        size = 1 << len(targets)
        if matrix.shape != (size, size) or not np.allclose(matrix @ matrix.conj().T, np.eye(size), atol=1e-6):
            raise CircuitError(f"the matrix is not a unitary of {len(targets)} qubit(s)")
        self._add(ProgramStep("unitary", self.line, targets, matrix=matrix))


def _spread(name: str, operands: list[tuple[int, ...]], width: int) -> list[tuple[int, ...]]:
    """The qubits of each call: registers among the operands are gone through side by side."""
    if len(operands) != width:
        raise CircuitError(f"gate '{name}' acts on {width} qubit(s), not {len(operands)}")
    sizes = {len(operand) for operand in operands} - {1}
    if len(sizes) > 1:
        raise CircuitError(f"gate '{name}' acts on registers of different sizes")
    if not sizes:
        return [tuple(operand[0] for operand in operands)]
    count = sizes.pop()
    wide = [operand * count if len(operand) == 1 else operand for operand in operands]
    return list(zip(*wide, strict=True))
