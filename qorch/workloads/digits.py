"""`digits`: real 8×8 digits, eight principal components, 8 qubits with 32 weights, a linear head."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import qorch
from qorch.errors import UsageError
from qorch.gradients.methods import GRADIENTS
from qorch.run.run import Run
from qorch.workloads.base import (
    Options,
    Outline,
    Training,
    accuracy,
    check_own_options,
    gradient_method,
    learning_rate,
    parse_classes,
    positive,
    weights_digest,
)

Loader = torch.utils.data.DataLoader[tuple[torch.Tensor, ...]]
N_QUBITS = 8
N_LAYERS = 2
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Data:
    """Training and test angles ``(N, 8)`` with class indices, and logistic regression's accuracy on them."""

    train: torch.utils.data.TensorDataset
    test: torch.utils.data.TensorDataset
    n_classes: int
    baseline_accuracy: float


class Digits:
    """The main job; see the module."""

    name = "digits"
    summary = "3 against 6 of scikit-learn's digits: PCA to 8 angles, 8 qubits, 32 weights, a linear head"
    defaults = Options(shots=1024, epochs=5, batch_size=32, gradient=GRADIENTS[0], own={"classes": "3,6", "lr": "0.05"})
    own_options: Mapping[str, str] = MappingProxyType(
        {"classes": "the digits to tell apart, such as 3,6, or all", "lr": "Adam's learning rate"}
    )

    def check(self, options: Options) -> None:
        """Raise UsageError for options that cannot be."""
        check_own_options(self, options)
        options = options.filled(self.defaults)
        classes = parse_classes(options.own["classes"])
        learning_rate(options)
        gradient_method(options)
        positive(options.epochs, "epochs")
        positive(options.batch_size, "batch-size")
        if options.limit is not None and options.limit < 20:
            raise UsageError(f"--limit is {options.limit}; digits needs at least 20 images to train and test")
        _, targets = _choose(classes, limit=options.limit, seed=options.seed)
        # Both parts get images of every class, as the split keeps their shares.
        if np.bincount(targets, minlength=len(classes)).min() < 2 or len(targets) * TEST_SHARE < len(classes):
            raise UsageError(
                f"--limit is {options.limit}, too few images to train and test {len(classes)} classes;"
                f" give for example {20 * len(classes)}"
            )

    def outline(self, options: Options) -> Outline:
        """See Workload: all batches are full ones, and the accuracy is measured after each epoch."""
        self.check(options)
        options = options.filled(self.defaults)
        data, model, loader = _prepare(options)

        def step() -> None:
            images, labels = next(iter(loader))
            _loss(model, images, labels).backward()  # type: ignore[no-untyped-call]

        return Outline(positive(options.epochs, "epochs"), len(loader), step, lambda: accuracy(model, data.test))

    def train(self, run: Run, options: Options) -> Training:
        """Train, and measure the accuracy on the test images after every epoch."""
        options = options.filled(self.defaults)
        data, model, loader = _prepare(options)
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate(options))
        epochs = positive(options.epochs, "epochs")
        for _ in run.epochs(epochs, save=(model, optimizer)):
            for images, labels in run.steps(loader):
                loss = _loss(model, images, labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                run.log(loss=loss)
            run.log(test_accuracy=accuracy(model, data.test))
        metrics = run.metrics | {"baseline_accuracy": data.baseline_accuracy}
        return Training(epochs * len(loader), metrics, weights_digest(model))


def _prepare(options: Options) -> tuple[Data, torch.nn.Module, Loader]:
    """Data, model and batches of a training, from one seed."""
    data = load_data(parse_classes(options.own["classes"]), limit=options.limit, seed=options.seed)
    torch.manual_seed(options.seed)
    model = build_model(data.n_classes, shots=options.shots, gradient=gradient_method(options))
    batch_size = min(positive(options.batch_size, "batch-size"), len(data.train))
    return data, model, torch.utils.data.DataLoader(data.train, batch_size=batch_size, shuffle=True, drop_last=True)


def _loss(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(images), labels)


def build_circuit() -> tuple[QuantumCircuit, ParameterVector, ParameterVector]:
    """RY encoding of 8 inputs, then twice RY and RZ on every qubit and a ring of CX: 32 weights."""
    inputs = ParameterVector("x", N_QUBITS)
    weights = ParameterVector("w", 2 * N_QUBITS * N_LAYERS)
    circuit = QuantumCircuit(N_QUBITS)
    for qubit in range(N_QUBITS):
        circuit.ry(inputs[qubit], qubit)
    for layer in range(N_LAYERS):
        first = 2 * N_QUBITS * layer
        for qubit in range(N_QUBITS):
            circuit.ry(weights[first + qubit], qubit)
            circuit.rz(weights[first + N_QUBITS + qubit], qubit)
        for qubit in range(N_QUBITS):
            circuit.cx(qubit, (qubit + 1) % N_QUBITS)
    return circuit, inputs, weights


def build_model(n_classes: int, *, shots: int | None, gradient: str) -> torch.nn.Module:
    """The circuit as a layer, and a linear head on its eight <Z>."""
    circuit, inputs, weights = build_circuit()
    layer = qorch.QuantumLayer(
        circuit,
        inputs=inputs,
        weights=weights,
        observables=[f"Z{qubit}" for qubit in range(N_QUBITS)],
        shots=shots,
        gradient=gradient,
    )
    return torch.nn.Sequential(layer, torch.nn.Linear(N_QUBITS, n_classes))


def load_data(classes: tuple[int, ...], *, limit: int | None, seed: int) -> Data:
    """scikit-learn's digits of these classes, split 80 to 20 and scaled to angles within ±π/2."""
    images, targets = _choose(classes, limit=limit, seed=seed)
    train, test, train_targets, test_targets = train_test_split(
        images, targets, test_size=TEST_SHARE, random_state=seed % 2**32, stratify=targets
    )
    pca = PCA(N_QUBITS, svd_solver="full").fit(train)
    scale = math.pi / 2 / np.abs(pca.transform(train)).max(axis=0)
    train_angles, test_angles = pca.transform(train) * scale, pca.transform(test) * scale
    baseline = LogisticRegression(max_iter=1000).fit(train_angles, train_targets)
    return Data(
        _dataset(train_angles, train_targets),
        _dataset(test_angles, test_targets),
        len(classes),
        float(baseline.score(test_angles, test_targets)),
    )


def _choose(classes: tuple[int, ...], *, limit: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The images of these classes, or as many of them as the limit says, and their class indices."""
    images, labels = load_digits(return_X_y=True)
    chosen = np.flatnonzero(np.isin(labels, classes))
    if limit is not None:
        chosen = np.random.default_rng(seed).permutation(chosen)[:limit]
    return images[chosen], np.searchsorted(classes, labels[chosen])


def _dataset(angles: np.ndarray, targets: np.ndarray) -> torch.utils.data.TensorDataset:
    return torch.utils.data.TensorDataset(torch.as_tensor(angles, dtype=torch.float32), torch.as_tensor(targets))


WORKLOAD = Digits()
