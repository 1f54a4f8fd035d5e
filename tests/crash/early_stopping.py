"""A training with a validation per epoch, early stopping, and a final test, as a user writes it."""

import copy

import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch

torch.manual_seed(4)
x, w = ParameterVector("x", 2), ParameterVector("w", 4)
circuit = QuantumCircuit(2)
for qubit in range(2):
    circuit.ry(x[qubit], qubit)
    circuit.ry(w[qubit], qubit)
circuit.cx(0, 1)
for qubit in range(2):
    circuit.ry(w[2 + qubit], qubit)

layer = qorch.QuantumLayer(circuit, inputs=x, weights=w, observables=["Z0", "Z0 Z1"], shots=64)
model = torch.nn.Sequential(layer, torch.nn.Linear(2, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)

points = torch.rand(96, 2) * 3
labels = (points.sum(dim=1) > 3).long()
data = torch.utils.data.TensorDataset(points[:32], labels[:32])
loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
best = {"loss": float("inf"), "epoch": -1, "weights": {}}


def measure(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and accuracy on a part of the data."""
    with torch.no_grad():
        found = model(points[part])
        loss = torch.nn.functional.cross_entropy(found, labels[part])
        return loss, (found.argmax(dim=1) == labels[part]).float().mean()


with qorch.start_run("early", backend="local", seed=2, resume=True) as run:
    run.log({"val/accuracy": measure(slice(64, 80))[1]})
    for epoch in run.epochs(25, save=(model, optimizer, scheduler, best)):
        run.log(learning_rate=optimizer.param_groups[0]["lr"])
        for batch, wanted in run.steps(loader):
            loss = torch.nn.functional.cross_entropy(model(batch), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log({"train/loss": loss})
        val_loss, val_accuracy = measure(slice(64, 80))
        run.log({"val/loss": val_loss, "val/accuracy": val_accuracy}, noise=torch.rand(()))
        scheduler.step(val_loss)
        if val_loss < best["loss"]:
            best.update(loss=float(val_loss), epoch=epoch, weights=copy.deepcopy(model.state_dict()))
        elif epoch - best["epoch"] >= 2:
            break
    model.load_state_dict(best["weights"])
    run.log({"test/accuracy": measure(slice(80, 96))[1], "best_epoch": best["epoch"]})
