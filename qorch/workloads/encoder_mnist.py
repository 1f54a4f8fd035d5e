"""`encoder-mnist`: an autoencoder from 784 pixels to 10 angles, and a circuit of 10 qubits whose <Z> are the scores."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from sklearn.linear_model import LogisticRegression

import qorch
from qorch.errors import UsageError
from qorch.run.run import Run
from qorch.workloads.base import (
    Options,
    Outline,
    Training,
    accuracy,
    check_own_options,
    gradient_method,
    learning_rate,
    positive,
    weights_digest,
    whole_option,
)
from qorch.workloads.mnist import N_CLASSES, PARTS, SIDE, TEST, TRAINING, check_classes, count_images, load_mnist

Dataset = torch.utils.data.TensorDataset
N_PIXELS = SIDE**2
N_HIDDEN = 128
DIGITS = tuple(range(N_CLASSES))
WIRES = (10, 5)
FROZEN, TRAINED = ENCODERS = ("frozen", "trained")
AUTOENCODER_BATCH = 256
AUTOENCODER_RATE = 0.002
MOST_AUTOENCODER_EPOCHS = 1000


class Autoencoder(torch.nn.Module):
    """Images ``(N, 784)`` to angles ``(N, wires)`` within 0 to π, and back; ``is_fitted`` is saved with its weights."""

    is_fitted: torch.Tensor

    def __init__(self, n_wires: int) -> None:
        """Nothing is fitted yet."""
        super().__init__()
        self.encoder = torch.nn.Sequential(
            torch.nn.Linear(N_PIXELS, N_HIDDEN),
            torch.nn.ReLU(),
            torch.nn.Linear(N_HIDDEN, n_wires),
            # Without it, most codes saturate, and then all images have the same angles.
            torch.nn.BatchNorm1d(n_wires, affine=False),
            torch.nn.Tanh(),
        )
        self.decoder = torch.nn.Sequential(
            torch.nn.Linear(n_wires, N_HIDDEN),
            torch.nn.ReLU(),
            torch.nn.Linear(N_HIDDEN, N_PIXELS),
            torch.nn.Sigmoid(),
        )
        self.register_buffer("is_fitted", torch.tensor(False))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The angles."""
        codes: torch.Tensor = self.encoder(images)
        return math.pi / 2 * (1 + codes)

    def fit(self, images: torch.Tensor, *, epochs: int, seed: int) -> float:
        """Learn to give the images back; the mean squared error of a pixel in the last epoch."""
        self.train()
        optimizer = torch.optim.Adam(self.parameters(), lr=AUTOENCODER_RATE)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(epochs):
            total = 0.0
            for chosen in torch.split(torch.randperm(len(images), generator=generator), AUTOENCODER_BATCH):
                if len(chosen) == 1:
                    # One image has no variance by which it could be normalised.
                    continue
                loss = torch.nn.functional.mse_loss(self.decoder(self.encoder(images[chosen])), images[chosen])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += float(loss.detach()) * len(chosen)
        self.is_fitted = torch.tensor(True)
        return total / len(images)


class EncoderMnist:
    """The speeding up of gradients; see the module."""

    name = "encoder-mnist"
    summary = "MNIST: an autoencoder to ten angles, 10 qubits, 20 weights, the ten <Z> as scores of the classes"
    defaults = Options(
        shots=None,
        epochs=1,
        batch_size=64,
        gradient="exact",
        own={"wires": "10", "lr": "0.02", "encoder": FROZEN, "autoencoder-epochs": "5"},
    )
    own_options: Mapping[str, str] = MappingProxyType(
        {
            "wires": "10, whose <Z> are the scores, or 5 and a linear head",
            "lr": "Adam's learning rate",
            "encoder": "frozen when the autoencoder is trained, or trained on through the circuit",
            "autoencoder-epochs": "passes of the autoencoder over all images, before the circuit is trained",
        }
    )

    def check(self, options: Options) -> None:
        """Raise UsageError for options that cannot be, and for files that are missing or damaged."""
        self._check_options(options)
        load_data(options.filled(self.defaults))

    def outline(self, options: Options) -> Outline:
        """See Workload: all batches are full, and the autoencoder has no circuit."""
        self._check_options(options)
        options = options.filled(self.defaults)
        counts = count_images(DIGITS, limit=options.limit)
        batch_size = min(positive(options.batch_size, "batch-size"), counts[TRAINING])
        n_wires, circuit = count_wires(options), prepare_model(options)[1]

        def step() -> None:
            circuit(_different_angles(batch_size, n_wires, is_trained=is_encoder_trained(options))).sum().backward()

        def evaluate() -> None:
            with torch.no_grad():
                circuit(_different_angles(counts[TEST], n_wires))

        return Outline(positive(options.epochs, "epochs"), counts[TRAINING] // batch_size, step, evaluate)

    def train(self, run: Run, options: Options) -> Training:
        """Train the autoencoder, then the circuit; measure the accuracy on the test images after every epoch."""
        options = options.filled(self.defaults)
        images, (train, test) = load_data(options)
        autoencoder, circuit = prepare_model(options)
        model = torch.nn.Sequential(autoencoder, circuit)
        encoder = autoencoder.encoder.parameters() if is_encoder_trained(options) else ()
        optimizer = torch.optim.Adam([*circuit.parameters(), *encoder], lr=learning_rate(options))
        batch_size = min(positive(options.batch_size, "batch-size"), len(train))
        loader = torch.utils.data.DataLoader(train, batch_size=batch_size, shuffle=True, drop_last=True)
        epochs = positive(options.epochs, "epochs")
        for _ in run.epochs(epochs, save=(autoencoder, circuit, optimizer)):
            if not autoencoder.is_fitted:
                error = autoencoder.fit(images, epochs=count_autoencoder_epochs(options), seed=options.seed)
                run.log(reconstruction_error=error)
            autoencoder.eval().requires_grad_(is_encoder_trained(options))
            for chosen, labels in run.steps(loader):
                loss = torch.nn.functional.cross_entropy(model(chosen), labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                run.log(loss=loss)
            run.log(test_accuracy=accuracy(model, test))
        metrics = run.metrics | {"logistic_regression_accuracy": regress(autoencoder, train, test)}
        return Training(epochs * len(loader), metrics, weights_digest(model))

    def _check_options(self, options: Options) -> None:
        check_own_options(self, options)
        options = options.filled(self.defaults)
        count_wires(options)
        is_encoder_trained(options)
        count_autoencoder_epochs(options)
        learning_rate(options)
        gradient_method(options)
        positive(options.epochs, "epochs")
        positive(options.batch_size, "batch-size")
        if options.limit is not None:
            positive(options.limit, "limit")


def build_circuit(n_wires: int) -> tuple[QuantumCircuit, ParameterVector, ParameterVector]:
    """RX of each input, a chain of CX, then RX and RY of the weights on each qubit: 2·wires weights.

    All that the weights can do is to scale: <Z_i> is cos(w_i) cos(w_{wires+i}) times the product of cos(x_0) to
    cos(x_i), but for the last qubit, which has cos(x_i + w_i) in place of cos(w_i) cos(x_i).
    """
    inputs = ParameterVector("x", n_wires)
    weights = ParameterVector("w", 2 * n_wires)
    circuit = QuantumCircuit(n_wires)
    for qubit in range(n_wires):
        circuit.rx(inputs[qubit], qubit)
    for qubit in range(n_wires - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(n_wires):
        circuit.rx(weights[qubit], qubit)
        circuit.ry(weights[n_wires + qubit], qubit)
    return circuit, inputs, weights


def prepare_model(options: Options) -> tuple[Autoencoder, torch.nn.Module]:
    """The autoencoder, and the circuit as a layer, with a linear head if it has 5 wires, from a training's seed."""
    torch.manual_seed(options.seed)
    n_wires = count_wires(options)
    circuit, inputs, weights = build_circuit(n_wires)
    layer = qorch.QuantumLayer(
        circuit,
        inputs=inputs,
        weights=weights,
        observables=[f"Z{qubit}" for qubit in range(n_wires)],
        initial=lambda values: values.normal_(0.0, 0.1),
        shots=options.shots,
        gradient=gradient_method(options),
    )
    scores = layer if n_wires == N_CLASSES else torch.nn.Sequential(layer, torch.nn.Linear(n_wires, N_CLASSES))
    return Autoencoder(n_wires), scores


def load_data(options: Options) -> tuple[torch.Tensor, list[Dataset]]:
    """All images that there are to train ``(N, 784)``, and those that train and test the circuit, with their digits.

    Raises UsageError if the files are missing or damaged, or none of the images that train the circuit has a digit.
    """
    counts = count_images(DIGITS, limit=options.limit)
    (images, labels), test = (_load_part(options.data_dir, part) for part in PARTS)
    check_classes(labels[: counts[TRAINING]].numpy(), DIGITS, part=TRAINING)
    train = images[: counts[TRAINING]], labels[: counts[TRAINING]]
    return images, [Dataset(*train), Dataset(*(each[: counts[TEST]] for each in test))]


def _load_part(data_dir: Path | None, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_mnist(data_dir, part)
    return torch.as_tensor(images.reshape(-1, N_PIXELS) / np.float32(255)), torch.as_tensor(labels)


def regress(autoencoder: Autoencoder, train: Dataset, test: Dataset) -> float:
    """The accuracy on the test images of logistic regression, trained on the angles that the circuit gets."""
    with torch.no_grad():
        angles, test_angles = (autoencoder(data.tensors[0]).numpy() for data in (train, test))
    return float(LogisticRegression(max_iter=1000).fit(angles, train.tensors[1]).score(test_angles, test.tensors[1]))


def count_wires(options: Options) -> int:
    """The qubits. Raises UsageError if they are neither 10 nor 5."""
    for n_wires in WIRES:
        if options.own["wires"] == str(n_wires):
            return n_wires
    raise UsageError(f"--wires is '{options.own['wires']}'; choose 10, or 5 with a linear head")


def count_autoencoder_epochs(options: Options) -> int:
    """How often the autoencoder sees each image. Raises UsageError for fewer than 1."""
    return whole_option(options, "autoencoder-epochs", least=1, most=MOST_AUTOENCODER_EPOCHS)


def is_encoder_trained(options: Options) -> bool:
    """Whether the loss of the scores trains the encoder, too. Raises UsageError for an unknown ``--encoder``."""
    if options.own["encoder"] not in ENCODERS:
        raise UsageError(f"--encoder is '{options.own['encoder']}'; choose one of {', '.join(ENCODERS)}")
    return options.own["encoder"] == TRAINED


def _different_angles(count: int, n_wires: int, *, is_trained: bool = False) -> torch.Tensor:
    """``(count, wires)``: no two rows are equal."""
    return torch.linspace(0.0, math.pi, count)[:, None].repeat(1, n_wires).requires_grad_(is_trained)


WORKLOAD = EncoderMnist()
