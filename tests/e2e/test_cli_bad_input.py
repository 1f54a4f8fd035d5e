"""Bad input to the library on a real run: an error of its own kind, one line, and nothing executed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.errors import CircuitError, ObservableError, ParameterError, ShotsError, UsageError


def rotation(n_qubits: int = 1) -> QuantumCircuit:
    """One rotation by the parameter ``a``."""
    circuit = QuantumCircuit(n_qubits)
    circuit.ry(Parameter("a"), 0)
    return circuit


def entangled(n_qubits: int) -> QuantumCircuit:
    """A chain that uses every qubit."""
    circuit = rotation(n_qubits)
    for qubit in range(n_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return circuit


def measured_midway() -> QuantumCircuit:
    """A measurement before a gate."""
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.x(0)
    return circuit


BAD: dict[str, tuple[type[UsageError], Callable[[], qorch.Pub]]] = {
    "two columns for one parameter": (
        ParameterError,
        lambda: qorch.Pub(rotation(), np.zeros((3, 2)), observables="Z0"),
    ),
    "three axes, the last too long": (
        ParameterError,
        lambda: qorch.Pub(rotation(), np.zeros((1, 1, 2)), observables="Z0"),
    ),
    "an unbound parameter": (ParameterError, lambda: qorch.Pub(rotation(), observables="Z0")),
    "NaN": (ParameterError, lambda: qorch.Pub(rotation(), [[np.nan]], observables="Z0")),
    "infinity": (ParameterError, lambda: qorch.Pub(rotation(), [[np.inf]], observables="Z0")),
    "a missing qubit": (ObservableError, lambda: qorch.Pub(rotation(), [[0.0]], observables="Z5")),
    "an unknown letter": (ObservableError, lambda: qorch.Pub(rotation(), [[0.0]], observables="Q0")),
    "no shots": (ShotsError, lambda: qorch.Pub(rotation(), [[0.0]], observables="Z0", shots=0)),
    "negative shots": (ShotsError, lambda: qorch.Pub(rotation(), [[0.0]], observables="Z0", shots=-1)),
    "too many shots": (ShotsError, lambda: qorch.Pub(rotation(), [[0.0]], observables="Z0", shots=10**12)),
    "40 qubits": (CircuitError, lambda: qorch.Pub(entangled(40), [[0.0]], observables="Z39", shots=8)),
    "a measurement midway": (CircuitError, lambda: qorch.Pub(measured_midway(), observables="Z0", shots=8)),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[qorch.Run]:
    """A run on Aer with a database of its own."""
    path: Path = tmp_path_factory.mktemp("bad") / "q.db"
    with qorch.start_run("bad", backend="aer", seed=1, db=str(path)) as run:
        yield run


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_anything_runs(run: qorch.Run, case: str) -> None:
    """The error is of the kind that says what to change, in one line; no job was made for it."""
    kind, make_pub = BAD[case]
    with pytest.raises(kind) as caught:
        run.execute(make_pub())
    assert len(str(caught.value).splitlines()) == 1
    assert run.totals.rows_executed == 0
    assert run.totals.jobs == 0
