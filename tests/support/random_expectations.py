"""Random circuits in every basis through the whole stack and over HTTP, and whether their values are right.

One seed decides everything, so a test either always passes or never does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from vendors import Vendor
from watched_runs import watched_run

from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList, build_gate_list, free_circuit
from qorch.model.gates import GATES
from qorch.model.observable import X, Y, Z
from qorch.model.pub import Pub
from qorch.testing.reference import reference_parities, reference_probabilities

ROWS = 2
N_GATES = 14
MOST_QUBITS = 5
FIRST_LETTERS = "ZXY"
"""The strings of a circuit differ in qubit 0, so that each is measured in a basis, and by samples, of its own."""
LETTERS = {"Z": Z, "X": X, "Y": Y}


@dataclass(frozen=True)
class Case:
    """A pub of single Pauli strings, and their exact values ``(ROWS, 3)``."""

    pub: Pub
    exact: FloatArray


def random_gates(random: np.random.Generator, number: int) -> GateList:
    """A circuit of all kinds of gates on wires in any order; circuit ``number`` surely has that kind of gate."""
    n_qubits = int(random.integers(3, MOST_QUBITS + 1))
    kinds = [number % len(GATES), *random.integers(0, len(GATES), N_GATES - 1).tolist()]
    gates = []
    for kind in kinds:
        gate = GATES[kind]
        wires = tuple(random.permutation(n_qubits)[: gate.n_qubits].tolist())
        angles = [None if random.random() < 0.5 else float(random.uniform(-7, 7)) for _ in range(gate.n_angles)]
        gates.append((gate.opcode, wires, tuple(angles)))
    # Some rotations first: many gates do nothing to the state in which all qubits are 0.
    mixing = [(GATES[14].opcode, (qubit,), (0.5 + 0.4 * qubit, 1.0, -0.3)) for qubit in range(n_qubits)]
    return build_gate_list(n_qubits, [*mixing, *gates])


def random_case(random: np.random.Generator, number: int, *, shots: int) -> Case:
    """A circuit with free and fixed angles, three Pauli strings over all its qubits, and numpy's answer."""
    gates = random_gates(random, number)
    values = random.uniform(-4, 4, (ROWS, gates.n_columns))
    strings, exact = [], []
    for first in FIRST_LETTERS:
        letters = [first, *random.choice(list("IXYZ"), gates.n_qubits - 1).tolist()]
        strings.append(" ".join(f"{letter}{qubit}" for qubit, letter in enumerate(letters) if letter != "I"))
        basis = np.array([LETTERS.get(letter, Z) for letter in letters], dtype=np.uint8)
        mask = sum(1 << qubit for qubit, letter in enumerate(letters) if letter != "I")
        table = reference_probabilities(gates, values, basis=basis)
        exact.append(reference_parities(table, np.array([mask], dtype=np.uint64))[:, 0])
    return Case(Pub(free_circuit(gates), values, observables=strings, shots=shots), np.stack(exact, axis=1))


def measure(
    vendor: Vendor, settings: Any, n_circuits: int, *, options: str, folder: Path, shots: int
) -> tuple[FloatArray, FloatArray, list[dict[str, object]]]:
    """Measured and exact values of so many random circuits, and the jobs that they took."""
    random = np.random.default_rng(20_261_120)
    cases = [random_case(random, number, shots=shots) for number in range(n_circuits)]
    with vendor.start(settings) as emulator, watched_run(vendor, emulator, folder, options=options) as watched:
        results = watched.run.execute([case.pub for case in cases])
        jobs = emulator.jobs()
    measured = np.concatenate([result.values for result in results]).ravel()
    return measured, np.concatenate([case.exact for case in cases]).ravel(), jobs


def check_statistics(measured: FloatArray, exact: FloatArray, *, shots: int) -> None:
    """Deviations in units of the true standard errors are those of independent normal numbers."""
    sigmas = np.sqrt(np.maximum(0.0, 1.0 - exact**2) / shots)
    is_certain = sigmas < 1e-8
    assert np.allclose(measured[is_certain], exact[is_certain], atol=1e-12)
    # Near ±1 the binomial distribution of so few differing shots is far from normal.
    scores = ((measured - exact) / np.where(is_certain, 1.0, sigmas))[np.abs(exact) < 0.98]
    count = len(scores)
    print(
        f"{count} values: largest |z| {np.abs(scores).max():.2f}, mean {scores.mean():+.4f}, chi-square/N"
        f" {(scores**2).mean():.4f}, Kolmogorov-Smirnov p {stats.kstest(scores, 'norm').pvalue:.3f}"
    )
    assert count > 0.9 * len(exact)
    assert np.abs(scores).max() < 5.0
    assert abs(scores.sum()) < 4.0 * np.sqrt(count)
    assert abs((scores**2).sum() - count) < 4.0 * np.sqrt(2.0 * count)
    assert stats.kstest(scores, "norm").pvalue > 1e-4
