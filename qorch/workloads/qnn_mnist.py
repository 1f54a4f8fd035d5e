"""`qnn-mnist`: MNIST on 4×4 bits, 16 qubits with trainable entangling layers, a linear head."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
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
    parse_classes,
    positive,
    weights_digest,
    whole_option,
)
from qorch.workloads.mnist import (
    PARTS,
    SIDE,
    TEST,
    TRAINING,
    Bytes,
    check_classes,
    choose_digits,
    count_images,
    load_mnist,
)

Dataset = torch.utils.data.TensorDataset
GRID_SIDE = 4
N_QUBITS = GRID_SIDE**2
MOST_LAYERS = 100
BASELINE_RATE = 0.005
"""Adam's learning rate for the classical networks."""


@dataclass(frozen=True)
class BitData:
    """By part: bits ``(N, 16)``, and the images ``(N, 28, 28)`` from 0 to 1 that they are of, with class indices.

    ``table`` ``(2^16,)``: the most frequent class of each pattern of bits in all images that MNIST has to train. No
    classifier of the bits does better on average, but for what so many images leave to chance.
    """

    bits: Mapping[str, Dataset]
    images: Mapping[str, Dataset]
    table: npt.NDArray[np.int64]


class QnnMnist:
    """The speed wall; see the module."""

    name = "qnn-mnist"
    summary = "MNIST as 4×4 bits: 16 qubits, trainable entangling layers, a linear head; two small CNNs beside"
    defaults = Options(
        shots=None,
        epochs=3,
        batch_size=32,
        limit=2000,
        gradient="exact",
        own={"classes": "all", "layers": "2", "lr": "0.05", "threshold": "0.1"},
    )
    own_options: Mapping[str, str] = MappingProxyType(
        {
            "classes": "the digits to tell apart, such as 3,6, or all",
            "layers": "how many entangling layers the circuit has",
            "lr": "Adam's learning rate",
            "threshold": "from 0 to 1: the mean brightness above which a field of 7×7 pixels is 1",
        }
    )

    def check(self, options: Options) -> None:
        """Raise UsageError for options that cannot be, and for files that are missing or damaged."""
        self._check_options(options)
        load_data(options.filled(self.defaults))

    def outline(self, options: Options) -> Outline:
        """See Workload: all batches are full; equal bits, which exact values execute once, are counted each."""
        self._check_options(options)
        options = options.filled(self.defaults)
        counts = count_images(parse_classes(options.own["classes"]), limit=options.limit)
        batch_size = min(positive(options.batch_size, "batch-size"), counts[TRAINING])
        model = prepare_model(options)

        def step() -> None:
            model(_different_bits(batch_size)).sum().backward()

        def evaluate() -> None:
            with torch.no_grad():
                model(_different_bits(counts[TEST]))

        return Outline(positive(options.epochs, "epochs"), counts[TRAINING] // batch_size, step, evaluate)

    def train(self, run: Run, options: Options) -> Training:
        """Train, measure the accuracy on the test images after every epoch, and train the classical networks."""
        options = options.filled(self.defaults)
        data = load_data(options)
        model = prepare_model(options)
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate(options))
        loader = load_batches(data.bits[TRAINING], options)
        epochs = positive(options.epochs, "epochs")
        for _ in run.epochs(epochs, save=(model, optimizer)):
            for bits, labels in run.steps(loader):
                loss = torch.nn.functional.cross_entropy(model(bits), labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                run.log(loss=loss)
            run.log(test_accuracy=accuracy(model, data.bits[TEST]))
        metrics = run.metrics | measure_bits(data) | train_baselines(data, options)
        return Training(epochs * len(loader), metrics, weights_digest(model))

    def _check_options(self, options: Options) -> None:
        check_own_options(self, options)
        options = options.filled(self.defaults)
        parse_classes(options.own["classes"])
        count_layers(options)
        learning_rate(options)
        read_threshold(options)
        gradient_method(options)
        positive(options.epochs, "epochs")
        positive(options.batch_size, "batch-size")
        positive(options.limit, "limit")


def build_circuit(n_layers: int) -> tuple[QuantumCircuit, ParameterVector, ParameterVector]:
    """X on each bit that is 1, then ``n_layers`` times RY on every qubit and a ring of CZ, and RY on every qubit.

    X is RX(π·bit), the same but for a global phase: so one circuit serves all images. With all weights 0, ⟨Z⟩ of each
    qubit is its bit: the model begins as logistic regression, and its gradients do not vanish.
    """
    bits = ParameterVector("x", N_QUBITS)
    weights = ParameterVector("w", N_QUBITS * (n_layers + 1))
    circuit = QuantumCircuit(N_QUBITS)
    for qubit in range(N_QUBITS):
        circuit.rx(math.pi * bits[qubit], qubit)
    for layer in range(n_layers + 1):
        for qubit in range(N_QUBITS):
            circuit.ry(weights[N_QUBITS * layer + qubit], qubit)
        if layer < n_layers:
            for qubit in range(N_QUBITS):
                circuit.cz(qubit, (qubit + 1) % N_QUBITS)
    return circuit, bits, weights


def prepare_model(options: Options) -> torch.nn.Module:
    """The circuit as a layer, and a linear head on its sixteen <Z>, from the seed of a training."""
    torch.manual_seed(options.seed)
    circuit, bits, weights = build_circuit(count_layers(options))
    layer = qorch.QuantumLayer(
        circuit,
        inputs=bits,
        weights=weights,
        observables=[f"Z{qubit}" for qubit in range(N_QUBITS)],
        initial=lambda values: values.normal_(0.0, 0.1),
        shots=options.shots,
        gradient=gradient_method(options),
    )
    head = torch.nn.Linear(N_QUBITS, len(parse_classes(options.own["classes"])))
    return torch.nn.Sequential(EqualRowsOnce(layer) if options.shots is None else layer, head)


class EqualRowsOnce(torch.nn.Module):
    """Equal rows have equal exact values, which are computed once: 60,000 images have 1,430 patterns of bits."""

    def __init__(self, layer: torch.nn.Module) -> None:
        """Around a layer whose values are exact."""
        super().__init__()
        self.layer = layer

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """As the layer does."""
        different, places = torch.unique(rows, dim=0, return_inverse=True)
        values: torch.Tensor = self.layer(different)
        return values[places]


def _different_bits(count: int) -> torch.Tensor:
    """``(count, 16)``: the patterns 0, 1, 2 and so on."""
    return (torch.arange(count)[:, None] >> torch.arange(N_QUBITS) & 1).float()


def load_batches(data: Dataset, options: Options) -> torch.utils.data.DataLoader[tuple[torch.Tensor, ...]]:
    """Full batches, in another order each epoch."""
    batch_size = min(positive(options.batch_size, "batch-size"), len(data))
    return torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True, drop_last=True)


def load_data(options: Options) -> BitData:
    """The images of a training. Raises UsageError if the files are missing or damaged, or have none of a class."""
    classes = parse_classes(options.own["classes"])
    bits, images = {}, {}
    table = np.zeros(2**N_QUBITS, dtype=np.int64)
    for part, count in count_images(classes, limit=options.limit).items():
        pixels, labels = choose_digits(*load_mnist(options.data_dir, part), classes)
        fields = binarise(pixels, threshold=read_threshold(options))
        bits[part] = _dataset(fields[:count], labels[:count])
        images[part] = _dataset(pixels[:count] / np.float32(255), labels[:count])
        # Few images test a training that has few: not all classes need be among these.
        check_classes(labels[:count] if part == TRAINING else labels, classes, part=part)
        if part == TRAINING:
            table = _most_frequent(_patterns(fields), labels)
    return BitData(bits, images, table)


def binarise(pixels: Bytes, *, threshold: float) -> npt.NDArray[np.bool_]:
    """Images ``(N, 28, 28)`` to bits ``(N, 16)``: is the mean of a field of 7×7 pixels above the threshold?"""
    field = SIDE // GRID_SIDE
    means: npt.NDArray[np.float64] = pixels.reshape(-1, GRID_SIDE, field, GRID_SIDE, field).mean(axis=(2, 4))
    return np.greater(means.reshape(-1, N_QUBITS) / 255, threshold)


def measure_bits(data: BitData) -> dict[str, float]:
    """What the bits allow, as accuracies on the test images.

    Of logistic regression, trained on the same images as the circuit, and of the best classifier, which knows the most
    frequent class of each pattern.
    """
    (bits, labels), (test_bits, test_labels) = ([each.numpy() for each in data.bits[part].tensors] for part in PARTS)
    regression = LogisticRegression(max_iter=1000).fit(bits, labels)
    return {
        "logistic_regression_accuracy": float(regression.score(test_bits, test_labels)),
        "best_of_bits_accuracy": float((data.table[_patterns(test_bits)] == test_labels).mean()),
    }


def train_baselines(data: BitData, options: Options) -> dict[str, float]:
    """The accuracies of two classical networks after as many epochs: one sees the bits, and one the whole images."""
    n_classes = len(parse_classes(options.own["classes"]))
    torch.manual_seed(options.seed)
    return {
        "cnn_4x4_accuracy": _train_classically(build_small_cnn(n_classes), data.bits, options),
        "cnn_28x28_accuracy": _train_classically(build_cnn(n_classes), data.images, options),
    }


def build_small_cnn(n_classes: int) -> torch.nn.Module:
    """Bits ``(N, 16)`` to scores: two convolutions of 2×2."""
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, GRID_SIDE, GRID_SIDE)),
        torch.nn.Conv2d(1, 16, kernel_size=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, kernel_size=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 2 * 2, n_classes),
    )


def build_cnn(n_classes: int) -> torch.nn.Module:
    """Images ``(N, 28, 28)`` to scores: two convolutions of 3×3, each pooled."""
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, SIDE)),
        torch.nn.Conv2d(1, 8, kernel_size=3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, kernel_size=3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 5 * 5, n_classes),
    )


def _train_classically(model: torch.nn.Module, data: Mapping[str, Dataset], options: Options) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=BASELINE_RATE)
    for _ in range(positive(options.epochs, "epochs")):
        for images, labels in load_batches(data[TRAINING], options):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return accuracy(model, data[TEST])


def count_layers(options: Options) -> int:
    """The entangling layers. Raises UsageError if they are not from 0 to MOST_LAYERS."""
    return whole_option(options, "layers", least=0, most=MOST_LAYERS)


def read_threshold(options: Options) -> float:
    """The brightness above which a field is 1. Raises UsageError if it is not from 0 to 1."""
    text = options.own["threshold"]
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0.0 <= threshold <= 1.0:
        raise UsageError(f"--threshold is '{text}'; it must be a number from 0 to 1")
    return threshold


def _patterns(bits: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bits ``(N, 16)`` as whole numbers ``(N,)``."""
    return np.asarray(bits, dtype=np.int64) @ (1 << np.arange(N_QUBITS))


def _most_frequent(patterns: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The most frequent class of each pattern; the most frequent of all for those that are not there."""
    counts = np.zeros((2**N_QUBITS, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (patterns, labels), 1)
    counts[counts.sum(axis=1) == 0] = counts.sum(axis=0)
    most: npt.NDArray[np.int64] = counts.argmax(axis=1)
    return most


def _dataset(images: npt.ArrayLike, labels: npt.NDArray[np.int64]) -> Dataset:
    return Dataset(torch.as_tensor(np.asarray(images, dtype=np.float32)), torch.as_tensor(labels))


WORKLOAD = QnnMnist()
