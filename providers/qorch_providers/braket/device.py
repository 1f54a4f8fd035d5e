"""What a device of Amazon Braket says of itself, as far as jobs depend on it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProgramSetLimits:
    """How much one program set may hold: executables, and shots of all of them together."""

    max_executables: int
    max_total_shots: int
    min_total_shots: int = 1


@dataclass(frozen=True)
class BraketDevice:
    """A device as GetDevice describes it.

    ``gates``: the names of the gates that circuits may have, in lower case, and ``native_gates`` those of verbatim
    boxes. ``qubits``: the numbers of its physical qubits, ascending; empty if they are 0 to ``n_qubits - 1``.
    ``schema``: the name of its capabilities' schema, such as ``braket.device_schema.ionq.ionq_device_capabilities``,
    which decides the form of device parameters. ``has_exact_values``: whether it answers tasks without shots with
    probabilities and expectation values. ``program_sets``: None if it does not take them. ``calibration``: 64
    hexadecimal digits that change with its properties. ``min_debiased_shots``: None if it has no debiasing.
    ``can_keep_qubits``: whether the rewiring of qubits can be disabled.
    """

    arn: str
    name: str
    schema: str
    is_simulator: bool
    n_qubits: int
    gates: frozenset[str]
    min_shots: int
    max_shots: int
    has_exact_values: bool = False
    program_sets: ProgramSetLimits | None = None
    calibration: str = ""
    min_debiased_shots: int | None = None
    can_keep_qubits: bool = False
    has_verbatim_boxes: bool = False
    native_gates: frozenset[str] = frozenset()
    qubits: tuple[int, ...] = ()
