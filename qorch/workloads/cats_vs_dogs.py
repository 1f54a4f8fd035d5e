"""`cats-vs-dogs`: photographs, a small convolutional front end, 8 qubits with 32 weights, a linear head."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

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
    positive,
    weights_digest,
)
from qorch.workloads.photographs import check_photographs, load_photographs

N_QUBITS = 8
N_LAYERS = 4
CLASSES = ("cats", "dogs")
TRAINING, VALIDATION = "train", "validation"
FOLDER = "cats_vs_dogs"
DECAY = 0.5
"""Of the learning rate after each epoch: without it the last epochs jump about."""
LEAST_IMAGES = 20
LEAST_BATCH = 2
HOW_TO_GET = (
    "any will do, 400 + 400 to train and 100 + 100 to validate, such as those of Microsoft's Kaggle Cats and Dogs"
    " Dataset; give their folder with --data-dir or QORCH_DATA_DIR"
)


class CatsVsDogs:
    """The asynchronous cloud training; see the module."""

    name = "cats-vs-dogs"
    summary = "photographs of cats and dogs: a convolutional front end to 8 angles, 8 qubits, 32 weights, a linear head"
    defaults = Options(shots=1024, epochs=5, batch_size=32, limit=1000, gradient=GRADIENTS[0], own={"lr": "0.005"})
    own_options: Mapping[str, str] = MappingProxyType(
        {"lr": "Adam's learning rate in the first epoch; it is halved after each"}
    )

    def check(self, options: Options) -> None:
        """Raise UsageError for options that cannot be, and for photographs that are missing or in no known class."""
        self._check_options(options)
        counts = count_images(options.filled(self.defaults))
        folder = find_folder(options.data_dir)
        for part, count in counts.items():
            check_photographs(folder / part, CLASSES, count=count // len(CLASSES), how_to_get=HOW_TO_GET)

    def outline(self, options: Options) -> Outline:
        """See Workload: all batches are full, each epoch is validated, and the front end has no circuit."""
        self._check_options(options)
        options = options.filled(self.defaults)
        counts, batch_size = count_images(options), prepare_batch_size(options)
        circuit_and_head = prepare_model(options)[1:]

        def step() -> None:
            # The front end is trained, too: derivatives by its features are wanted.
            features = torch.zeros((batch_size, N_QUBITS), requires_grad=True)
            circuit_and_head(features).sum().backward()

        def evaluate() -> None:
            with torch.no_grad():
                circuit_and_head(torch.zeros((counts[VALIDATION], N_QUBITS)))

        return Outline(positive(options.epochs, "epochs"), counts[TRAINING] // batch_size, step, evaluate)

    def train(self, run: Run, options: Options) -> Training:
        """Train the model and, beside it on the same batches, the baseline; measure both after every epoch."""
        options = options.filled(self.defaults)
        data = load_data(options)
        model = prepare_model(options)
        baseline = torch.nn.Sequential(build_front_end(), torch.nn.Linear(N_QUBITS, len(CLASSES)))
        optimizer = torch.optim.Adam([*model.parameters(), *baseline.parameters()], lr=learning_rate(options))
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=DECAY)
        loader = torch.utils.data.DataLoader(
            data[TRAINING], batch_size=prepare_batch_size(options), shuffle=True, drop_last=True
        )
        epochs = positive(options.epochs, "epochs")
        for _ in run.epochs(epochs, save=(model, baseline, optimizer, schedule)):
            for images, labels in run.steps(loader):
                views = mirror_some(images)
                loss, baseline_loss = (
                    torch.nn.functional.cross_entropy(each(views), labels) for each in (model, baseline)
                )
                optimizer.zero_grad()
                # The two have no weight in common: each gets the gradient of its own loss.
                (loss + baseline_loss).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                run.log(loss=loss, baseline_loss=baseline_loss)
            schedule.step()
            run.log(
                validation_accuracy=validate(model, data[VALIDATION]),
                baseline_accuracy=validate(baseline, data[VALIDATION]),
            )
        return Training(epochs * len(loader), run.metrics, weights_digest(model))

    def _check_options(self, options: Options) -> None:
        check_own_options(self, options)
        options = options.filled(self.defaults)
        learning_rate(options)
        gradient_method(options)
        positive(options.epochs, "epochs")
        if positive(options.batch_size, "batch-size") < LEAST_BATCH:
            raise UsageError(f"--batch-size is 1; {self.name} normalises batches of at least {LEAST_BATCH} photographs")
        if positive(options.limit, "limit") < LEAST_IMAGES:
            raise UsageError(f"--limit is {options.limit}; {self.name} needs at least {LEAST_IMAGES} photographs")


def build_circuit() -> tuple[QuantumCircuit, ParameterVector, ParameterVector]:
    """RY encoding of 8 inputs within ±1, then four layers: RZ or RY on every qubit, and 14 CX down the chain and back.

    Together 16 RY, 16 RZ and 56 CX, and 8 RY of the encoding. The CX of every second layer undo those of the layer
    before: with small weights the circuit begins as almost the identity, whose gradients do not vanish (Grant et al.,
    Quantum 3, 214, 2019).
    """
    inputs = ParameterVector("x", N_QUBITS)
    weights = ParameterVector("w", N_QUBITS * N_LAYERS)
    circuit = QuantumCircuit(N_QUBITS)
    for qubit in range(N_QUBITS):
        # From 0 to π: at 0 alone, <Z> would change with the square of the input.
        circuit.ry(math.pi / 2 * (1 + inputs[qubit]), qubit)
    down_and_back = [(q, q + 1) for q in range(N_QUBITS - 1)] + [(q + 1, q) for q in reversed(range(N_QUBITS - 1))]
    for layer in range(N_LAYERS):
        rotate, pairs = (circuit.ry, down_and_back[::-1]) if layer % 2 else (circuit.rz, down_and_back)
        for qubit in range(N_QUBITS):
            rotate(weights[N_QUBITS * layer + qubit], qubit)
        for control, target in pairs:
            circuit.cx(control, target)
    return circuit, inputs, weights


def build_model(*, shots: int | None, gradient: str) -> torch.nn.Sequential:
    """The front end, the circuit as a layer, and a linear head on its eight <Z>."""
    circuit, inputs, weights = build_circuit()
    layer = qorch.QuantumLayer(
        circuit,
        inputs=inputs,
        weights=weights,
        observables=[f"Z{qubit}" for qubit in range(N_QUBITS)],
        initial=lambda values: values.normal_(0.0, 0.1),
        shots=shots,
        gradient=gradient,
    )
    return torch.nn.Sequential(build_front_end(), layer, torch.nn.Linear(N_QUBITS, len(CLASSES)))


def build_front_end() -> torch.nn.Module:
    """Images ``(N, 3, 180, 180)`` of bytes to eight features within ±1: 60×60, and three convolutions."""
    return torch.nn.Sequential(
        _Scale(),
        torch.nn.AvgPool2d(3),
        *_convolve(3, 16),
        torch.nn.MaxPool2d(2),
        *_convolve(16, 32),
        torch.nn.MaxPool2d(2),
        *_convolve(32, 64),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(64, N_QUBITS),
        torch.nn.BatchNorm1d(N_QUBITS),
        torch.nn.Tanh(),
    )


def _convolve(channels: int, features: int) -> tuple[torch.nn.Module, ...]:
    return (
        torch.nn.Conv2d(channels, features, kernel_size=3, padding=1),
        torch.nn.BatchNorm2d(features),
        torch.nn.ReLU(),
    )


class _Scale(torch.nn.Module):
    """Bytes to numbers from 0 to 1."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return images.float() / 255


def mirror_some(images: torch.Tensor) -> torch.Tensor:
    """Half of the images, at random, with left and right exchanged."""
    is_mirrored = torch.rand(len(images)) < 0.5
    return torch.where(is_mirrored[:, None, None, None], images.flip(-1), images)


def validate(model: torch.nn.Module, data: torch.utils.data.TensorDataset) -> float:
    """The accuracy of the model, whose normalisation does not learn from these images."""
    model.eval()
    try:
        return accuracy(model, data)
    finally:
        model.train()


def prepare_model(options: Options) -> torch.nn.Sequential:
    """The model of a training, from its seed."""
    torch.manual_seed(options.seed)
    return build_model(shots=options.shots, gradient=gradient_method(options))


def prepare_batch_size(options: Options) -> int:
    """The batch size, or all training images if these are fewer."""
    return min(positive(options.batch_size, "batch-size"), count_images(options)[TRAINING])


def count_images(options: Options) -> dict[str, int]:
    """Images by part, of both classes together: four of five for training, as many cats as dogs."""
    tenth = positive(options.limit, "limit") // 10
    return {TRAINING: 8 * tenth, VALIDATION: 2 * tenth}


def load_data(options: Options) -> dict[str, torch.utils.data.TensorDataset]:
    """The images of both parts, as bytes ``(N, 3, 180, 180)``, with class indices."""
    folder, counts = find_folder(options.data_dir), count_images(options)
    data = {}
    for part, count in counts.items():
        images, labels = load_photographs(folder / part, CLASSES, count=count // len(CLASSES))
        data[part] = torch.utils.data.TensorDataset(torch.as_tensor(images), torch.as_tensor(labels))
    return data


def find_folder(data_dir: Path | None) -> Path:
    """The folder that has ``train`` and ``validation``. Raises UsageError if none was given."""
    if data_dir is None:
        wanted = ", ".join(f"{part}/{name}" for part in (TRAINING, VALIDATION) for name in CLASSES)
        raise UsageError(f"cats-vs-dogs needs JPEG files in {wanted}: {HOW_TO_GET}")
    inner = data_dir / FOLDER
    return inner if inner.is_dir() else data_dir


WORKLOAD = CatsVsDogs()
