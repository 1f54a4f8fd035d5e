"""DataLoader workers are forked in the middle of a run; nothing of the run must break or linger."""

from pathlib import Path

import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_loader_workers(tmp_path: Path) -> None:
    """A loop over a DataLoader with worker processes trains as one without, to the bit."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.ry(x[qubit], qubit)
        circuit.ry(w[qubit], qubit)
    circuit.cx(0, 1)
    data = torch.utils.data.TensorDataset(torch.linspace(0, 3, 24).reshape(12, 2))

    def train(workers: int) -> torch.Tensor:
        torch.manual_seed(4)
        layer = qorch.QuantumLayer(circuit, inputs=x, weights=w, observables="Z0 Z1", shots=100)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
        loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, num_workers=workers)
        db = str(tmp_path / f"{workers}.db")
        with qorch.start_run("forked", backend="aer", seed=2, db=db, progress=_quiet) as run:
            for (batch,) in run.steps(loader, epochs=2, save=(layer, optimizer)):
                optimizer.zero_grad()
                layer(batch).sum().backward()
                optimizer.step()
        return layer.weights.detach()

    assert torch.equal(train(0), train(2))


def _quiet(progress: object) -> None:
    """Shows nothing."""
