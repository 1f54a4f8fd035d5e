"""`quantum-train`: a circuit's probabilities, through a small mapping network, are the weights of a CNN."""

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from torch.nn import functional

import qorch
from qorch.errors import UsageError
from qorch.run.run import Run
from qorch.workloads.base import (
    Options,
    Outline,
    Training,
    check_own_options,
    gradient_method,
    learning_rate,
    positive,
    weights_digest,
)
from qorch.workloads.cifar10 import load_cifar10
from qorch.workloads.mnist import TRAINING, load_mnist

Loader = torch.utils.data.DataLoader[tuple[torch.Tensor, ...]]
N_CLASSES = 10
FILTERS, HIDDEN = (4, 8), 30
KERNEL = 3
VALIDATION_SHARE = 0.2
LEAST_IMAGES = 20
XAVIER_GAIN = 0.5
MOST_NORM = 10.0
"""Of the gradient, which is clipped to it."""
CHUNK = 2_000
"""Images that are validated at a time."""
SHOTS_PER_OUTCOME = 100
"""So many give the probability of an average outcome a standard error of a tenth of itself."""
MOST_BLOCKS, MOST_WIDTHS, MOST_WIDTH, MOST_SPREAD = 1_000, 10, 10_000, 100.0
REPAIRED, PUBLISHED = "repaired", "published"
CHAIN, CYCLIC, ALL_TO_ALL = "chain", "cyclic", "all-to-all"

KNOWN = {
    "dataset": ("mnist", "cifar10"),
    "initialisation": (REPAIRED, PUBLISHED),
    "entanglement": (CHAIN, CYCLIC, ALL_TO_ALL),
}

_log = logging.getLogger("qorch")


@dataclass(frozen=True)
class Images:
    """What a data set looks like: channels, pixels a side, mean and spread of its pixels, training images."""

    channels: int
    side: int
    mean: float
    spread: float
    count: int


DATASETS = {"mnist": Images(1, 28, 0.1307, 0.3081, 60_000), "cifar10": Images(3, 32, 0.4734, 0.2516, 50_000)}


class QuantumTrain:
    """Parameters of a CNN from a quantum circuit; see the module."""

    name = "quantum-train"
    summary = "MNIST or CIFAR-10: the probabilities of 13 or 14 qubits generate the weights of a CNN; 425 are trained"
    defaults = Options(
        shots=None,
        epochs=5,
        batch_size=64,
        gradient="exact",
        own={
            "dataset": "mnist",
            "initialisation": REPAIRED,
            "entanglement": CHAIN,
            "blocks": "8",
            "mapping": "20",
            "angle-spread": "0.1",
            "lr": "0.0005",
        },
    )
    own_options: Mapping[str, str] = MappingProxyType(
        {
            "dataset": " or ".join(DATASETS),
            "initialisation": f"{REPAIRED}: generated layers have He's scale; {PUBLISHED}: most seeds die",
            "entanglement": f"CNOTs of each block: {CHAIN}, {CYCLIC} or {ALL_TO_ALL}",
            "blocks": "blocks of RY on every qubit and CNOTs",
            "mapping": "widths of the mapping network's hidden layers, such as 20 or 20,40,20",
            "angle-spread": "standard deviation of the first angles, in radians",
            "lr": "Adam's learning rate",
        }
    )

    def check(self, options: Options) -> None:
        """Raise UsageError for options that cannot be, and for data files that are missing or damaged."""
        self._check_options(options)
        load_images(options.filled(self.defaults))

    def outline(self, options: Options) -> Outline:
        """See Workload: all batches are full; a step and a validation execute one row of angles each."""
        self._check_options(options)
        options = options.filled(self.defaults)
        model = prepare_model(options)
        n_training = count_training(min(DATASETS[options.own["dataset"]].count, options.limit or 10**9))

        def step() -> None:
            torch.cat([weights.flatten() for weights in model.generate()]).sum().backward()  # type: ignore[no-untyped-call]

        def evaluate() -> None:
            with torch.no_grad():
                model.generate()

        return Outline(
            positive(options.epochs, "epochs"), n_training // prepare_batch_size(options, n_training), step, evaluate
        )

    def train(self, run: Run, options: Options) -> Training:
        """Train, validate after every epoch, and keep the weights of the best one beside: the run's first state."""
        options = options.filled(self.defaults)
        training, validation = load_data(options)
        model = prepare_model(options)
        best, record = copy.deepcopy(model), {"accuracy": -1.0}
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate(options))
        loader = make_loader(training, batch_size=prepare_batch_size(options, len(training)))
        epochs = positive(options.epochs, "epochs")
        for epoch in run.epochs(epochs, save=(best, model, optimizer, record)):
            for images, labels in run.steps(loader):
                loss = functional.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), MOST_NORM)
                optimizer.step()
                run.log(loss=loss)
            measured = validate(model, validation)
            if measured["validation_accuracy"] > record["accuracy"]:
                record["accuracy"] = measured["validation_accuracy"]
                best.load_state_dict(model.state_dict())
            run.log(measured, best_validation_accuracy=record["accuracy"])
            if measured["is_dead"]:
                _warn_of_death(run, epoch=epoch, loss=measured["validation_loss"])
        return Training(epochs * len(loader), run.metrics, weights_digest(model))

    def _check_options(self, options: Options) -> None:
        check_own_options(self, options)
        options = options.filled(self.defaults)
        for name, known in KNOWN.items():
            if options.own[name] not in known:
                raise UsageError(f"--{name} is '{options.own[name]}'; choose one of {', '.join(known)}")
        read_blocks(options)
        read_mapping(options)
        read_spread(options)
        learning_rate(options)
        gradient_method(options)
        positive(options.epochs, "epochs")
        positive(options.batch_size, "batch-size")
        if options.limit is not None and positive(options.limit, "limit") < LEAST_IMAGES:
            raise UsageError(f"--limit is {options.limit}; {self.name} needs at least {LEAST_IMAGES} images")
        _warn_of_few_shots(options)


class GeneratedCnn(torch.nn.Module):
    """A CNN without weights of its own: a circuit and a mapping network generate them, and are trained."""

    bits: torch.Tensor

    def __init__(
        self,
        circuit: QuantumCircuit,
        images: Images,
        *,
        widths: Sequence[int],
        is_repaired: bool,
        layer: Mapping[str, Any],
    ) -> None:
        """``widths`` of the mapping network's hidden layers; ``layer``: further arguments of the circuit's layer."""
        super().__init__()
        self.shapes = list_shapes(images)
        self.is_repaired = is_repaired
        self.layer = qorch.QuantumLayer(
            circuit,
            weights=circuit.parameters,
            observables=qorch.probabilities(),
            **layer,
        )
        self.mapping = build_mapping([circuit.num_qubits + 1, *widths, 1])
        states = torch.arange(sum(map(math.prod, self.shapes)))[:, None]
        self.register_buffer("bits", (states >> torch.arange(circuit.num_qubits) & 1).float(), persistent=False)

    def generate(self) -> list[torch.Tensor]:
        """The weights of the CNN: one tensor for each of ``shapes``, kernels before their biases.

        The mapping network sees the bits of a basis state, qubit 0 first, and its probability.
        """
        probabilities = self.layer()[: len(self.bits), None]
        if self.is_repaired:
            probabilities = probabilities * self.layer.n_outputs
        values = self.mapping(torch.cat([self.bits, probabilities], dim=1))[:, 0]
        parts = torch.split(values, [math.prod(shape) for shape in self.shapes])
        tensors = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return standardise(tensors) if self.is_repaired else tensors

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores ``(N, 10)`` of images ``(N, C, H, W)``."""
        return classify(images, self.generate())[0]


def build_circuit(n_qubits: int, *, blocks: int, entanglement: str) -> QuantumCircuit:
    """Blocks of RY on every qubit, then CNOTs down the chain, around the ring, or of every pair of qubits."""
    angles = ParameterVector("angle", n_qubits * blocks)
    pairs = list(combinations(range(n_qubits), 2) if entanglement == ALL_TO_ALL else pairwise(range(n_qubits)))
    if entanglement == CYCLIC:
        pairs.append((n_qubits - 1, 0))
    circuit = QuantumCircuit(n_qubits)
    for block in range(blocks):
        for qubit in range(n_qubits):
            circuit.ry(angles[block * n_qubits + qubit], qubit)
        for control, target in pairs:
            circuit.cx(control, target)
    return circuit


def build_mapping(widths: Sequence[int]) -> torch.nn.Sequential:
    """Linear layers with ReLU between them: Xavier's uniform weights at half their scale, and biases of zero."""
    layers: list[torch.nn.Module] = []
    for width, following in pairwise(widths):
        linear = torch.nn.Linear(width, following)
        torch.nn.init.xavier_uniform_(linear.weight, gain=XAVIER_GAIN)
        torch.nn.init.zeros_(linear.bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def list_shapes(images: Images) -> list[tuple[int, ...]]:
    """Kernel and bias of two convolutions, each followed by pooling, and of two linear layers."""
    first, second = FILTERS
    side = ((images.side - KERNEL + 1) // 2 - KERNEL + 1) // 2
    kernels = [
        (first, images.channels, KERNEL, KERNEL),
        (second, first, KERNEL, KERNEL),
        (HIDDEN, second * side * side),
        (N_CLASSES, HIDDEN),
    ]
    return [shape for kernel in kernels for shape in (kernel, kernel[:1])]


def standardise(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Each kernel, and its bias with it, at mean 0 and at He's standard deviation, sqrt(2 / fan-in).

    K. He et al., "Delving deep into rectifiers", 2015.
    """
    scaled = []
    for kernel, bias in zip(tensors[::2], tensors[1::2], strict=True):
        spread, mean = torch.std_mean(torch.cat([kernel.flatten(), bias]), correction=0)
        factor = math.sqrt(2 / kernel[0].numel()) / (spread + 1e-8)
        scaled += [(kernel - mean) * factor, (bias - mean) * factor]
    return scaled


def classify(images: torch.Tensor, weights: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores ``(N, 10)`` of a CNN with these weights, and the last hidden layer ``(N, 30)``."""
    for kernel, bias in (weights[0:2], weights[2:4]):
        # Channels last, and the ReLU after the pooling, which gives the same: a third faster.
        last = kernel.contiguous(memory_format=torch.channels_last)
        images = functional.relu(functional.max_pool2d(functional.conv2d(images, last, bias), 2))
    hidden = functional.relu(functional.linear(images.flatten(1), weights[4], weights[5]))
    return functional.linear(hidden, weights[6], weights[7]), hidden


def validate(model: GeneratedCnn, data: torch.utils.data.TensorDataset) -> dict[str, float]:
    """Accuracy and loss, and whether the CNN is dead: no image changes its last hidden layer."""
    images, labels = data.tensors
    with torch.no_grad():
        weights = model.generate()
        parts = [classify(chunk, weights) for chunk in torch.split(images, CHUNK)]
        scores, hidden = (torch.cat(column) for column in zip(*parts, strict=True))
        return {
            "validation_accuracy": float((scores.argmax(dim=1) == labels).double().mean()),
            "validation_loss": float(functional.cross_entropy(scores, labels)),
            "is_dead": float(torch.allclose(hidden, hidden[:1])),
        }


def _warn_of_death(run: Run, *, epoch: int, loss: float) -> None:
    _log.warning(
        "run %s is dead after epoch %d: no image changes what the generated CNN answers (loss %.4f), as its ReLUs are"
        " dead; start again with another --seed, or with --initialisation %s",
        run.run_id, epoch + 1, loss, REPAIRED,
    )  # fmt: skip


def _warn_of_few_shots(options: Options) -> None:
    n_outcomes = 1 << count_qubits(DATASETS[options.own["dataset"]])
    if options.shots is not None and options.shots < (wanted := SHOTS_PER_OUTCOME * n_outcomes):
        _log.warning(
            "%d shots are too few to tell %d outcomes apart, and the gradient will be mostly noise; give %d shots or"
            " more, or leave out --shots for exact values",
            options.shots, n_outcomes, wanted,
        )  # fmt: skip


def count_qubits(images: Images) -> int:
    """As many as give one basis state or more to each weight of the CNN."""
    return (sum(map(math.prod, list_shapes(images))) - 1).bit_length()


def prepare_model(options: Options) -> GeneratedCnn:
    """The model of a training, from its seed."""
    torch.manual_seed(options.seed)
    images = DATASETS[options.own["dataset"]]
    circuit = build_circuit(count_qubits(images), blocks=read_blocks(options), entanglement=options.own["entanglement"])
    return GeneratedCnn(
        circuit,
        images,
        widths=read_mapping(options),
        is_repaired=options.own["initialisation"] == REPAIRED,
        layer={
            "shots": options.shots,
            "gradient": gradient_method(options),
            "initial": lambda angles: angles.normal_(0.0, read_spread(options)),
        },
    )


def read_blocks(options: Options) -> int:
    """Raises UsageError for a number of blocks that cannot be."""
    text = options.own["blocks"]
    if not (text.isdecimal() and 1 <= int(text) <= MOST_BLOCKS):
        raise UsageError(f"--blocks is '{text}'; it must be a whole number from 1 to {MOST_BLOCKS}")
    return int(text)


def read_spread(options: Options) -> float:
    """Radians. Raises UsageError if it is not a number from 0 to MOST_SPREAD."""
    text = options.own["angle-spread"]
    try:
        spread = float(text)
    except ValueError:
        spread = math.nan
    if not 0.0 <= spread <= MOST_SPREAD:
        raise UsageError(f"--angle-spread is '{text}'; it must be a number of radians from 0 to {MOST_SPREAD:g}")
    return spread


def read_mapping(options: Options) -> list[int]:
    """``"20,40,20"``: three hidden layers. Raises UsageError for what is no list of widths."""
    text = options.own["mapping"]
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MOST_WIDTHS or not all(part.isdecimal() and 1 <= int(part) <= MOST_WIDTH for part in parts):
        raise UsageError(
            f"--mapping is '{text}'; give up to {MOST_WIDTHS} widths from 1 to {MOST_WIDTH}, such as 20 or 20,40,20"
        )
    return [int(part) for part in parts]


def load_images(options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Training images ``(N, C, H, W)`` as bytes, and their classes. Raises UsageError for files that are not right."""
    if options.own["dataset"] == "cifar10":
        return load_cifar10(options.data_dir)
    images, labels = load_mnist(options.data_dir, TRAINING)
    return images[:, None], labels


def load_data(options: Options) -> tuple[torch.utils.data.TensorDataset, torch.utils.data.TensorDataset]:
    """Training and validation images, split by the seed, with pixels of mean 0 and spread 1."""
    images, labels = load_images(options)
    about = DATASETS[options.own["dataset"]]
    order = np.random.default_rng(options.seed).permutation(len(images))[: options.limit]
    pixels = torch.as_tensor(images[order]).float().div_(255 * about.spread).sub_(about.mean / about.spread)
    data = torch.utils.data.TensorDataset(pixels, torch.as_tensor(labels[order]))
    n_training = count_training(len(order))
    return (
        torch.utils.data.TensorDataset(*data[:n_training]),
        torch.utils.data.TensorDataset(*data[n_training:]),
    )


def count_training(n_images: int) -> int:
    """What is left of the images for training."""
    return n_images - round(n_images * VALIDATION_SHARE)


def prepare_batch_size(options: Options, n_training: int) -> int:
    """The batch size, or all training images if these are fewer."""
    return min(positive(options.batch_size, "batch-size"), n_training)


def make_loader(data: torch.utils.data.TensorDataset, *, batch_size: int) -> Loader:
    """Shuffled full batches, each taken from the tensors at once, which is far faster than image by image."""
    order = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), batch_size, drop_last=True)
    return torch.utils.data.DataLoader(data, sampler=order, batch_size=None)


WORKLOAD = QuantumTrain()
