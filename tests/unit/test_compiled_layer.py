"""The layer under `torch.compile`, whose import alone takes seconds."""

import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch.ports.clock import WallClock
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore


def quiet(progress: Progress) -> None:
    """Shows nothing."""


@pytest.mark.filterwarnings("ignore")  # torch's own: it looks at the gradients of inner tensors, for one
def test_a_compiled_model_measures_as_the_plain_one() -> None:
    """The compiler leaves the layer out, values and gradients are those of the plain model."""
    angles = ParameterVector("a", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(angles[0], 0)
    circuit.rx(angles[1], 0)
    layer = qorch.QuantumLayer(circuit, inputs=angles[:1], weights=angles[1:], observables="Z0", shots=None)
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), layer)
    compiled = torch.compile(model, backend="eager")
    values, gradients = [], []
    with qorch.start_run("compiled", backend=FakeBackend(), db=MemoryStore(WallClock()), progress=quiet):
        for module in (model, compiled):
            model.zero_grad()
            values.append(module(torch.ones(3, 1)))
            values[-1].sum().backward()
            gradients.append([parameter.grad for parameter in model.parameters()])
    assert torch.equal(*values)
    assert all(torch.equal(plain, other) for plain, other in zip(*gradients, strict=True))
