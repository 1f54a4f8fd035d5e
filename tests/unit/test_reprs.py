"""What a notebook or a debugger shows of a value is one short line, whatever its size."""

import numpy as np
import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch.model.observable import as_observable
from qorch.ports.clock import WallClock
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

LONGEST = 100
X = ParameterVector("x", 8)


def circuit() -> QuantumCircuit:
    """Four qubits, eight angles."""
    made = QuantumCircuit(4)
    for index, angle in enumerate(X):
        made.ry(angle, index % 4)
    return made


@pytest.fixture(scope="module")
def values() -> list[object]:
    """One of each, as a user meets them, large."""
    name = "cats-vs-dogs"

    def quiet(progress: Progress) -> None:
        pass

    store = MemoryStore(WallClock())
    with qorch.start_run(name, backend=FakeBackend(), db=store, seed=5, shots=9, progress=quiet) as run:
        pub = qorch.Pub(circuit(), np.random.default_rng(1).random((30, 8)), observables=["Z0 Z1", "X3"])
        spread = qorch.Pub(circuit(), np.zeros((30, 8)), observables=qorch.probabilities())
        gradient = run.gradient(qorch.Pub(circuit(), np.zeros(8), observables="Z0"))
        result, sampled = run.execute([pub, spread])
        layer = qorch.QuantumLayer(circuit(), inputs=X[:3], weights=X[3:], observables=["Z0"])
        layer(torch.zeros(30, 3)).sum().backward()
        report = run.report()
        with layer.eval_on(FakeBackend()) as evaluation:
            pass
    observable = as_observable(" + ".join(f"0.25*Z{index}" for index in range(40)))
    compiled = pub.circuit
    return [
        *(run, report, pub, spread, result, sampled, gradient, layer, evaluation, observable, compiled),
        *(compiled.gates, compiled.angle_map, qorch.Batch((pub, spread)), sampled.samples[0]),
        *(qorch.probabilities(), qorch.Money("USD", 12_345_678)),
    ]


def test_every_value_is_one_short_line(values: list[object]) -> None:
    """No line breaks, no arrays, no more than 100 characters; the class comes first."""
    for value in values:
        shown = repr(value)
        assert "\n" not in shown
        assert "array" not in shown
        assert "tensor" not in shown
        assert len(shown) <= LONGEST, shown
        assert shown.startswith(type(value).__name__ + "(")


def test_what_they_say(values: list[object]) -> None:
    """Sizes and names are what they are."""
    shown = [repr(value) for value in values]
    assert shown[0].endswith("backend='fake', step -1)")
    assert shown[2] == "Pub(30 rows, Circuit(4 qubits, 8 gates, 8 parameters), 2 observables, shots=run)"
    assert shown[3] == "Pub(30 rows, Circuit(4 qubits, 8 gates, 8 parameters), probabilities, shots=run)"
    assert shown[4] == "PubResult(30 rows, 2 values each, 9 shots, 30 executed)"
    assert shown[5] == "SampledDistribution(30 rows, 16 values each, 9 shots, 30 executed)"
    assert shown[6] == "Gradient(1 rows, 1 values each, by 8 parameters)"
    assert shown[8] == "Evaluation('fake')"
    assert shown[9].endswith("…')")
    assert shown[13] == "Batch(2 pubs, 60 rows)"
