"""`quantum-train`: a circuit's probabilities, through a small mapping network, are the weights of a CNN."""

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from types import MappingProxyType
from typing import Any

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
    positive_number,
    weights_digest,
    whole_option,
)
from qorch.workloads.image_sets import (
    IMAGE_SETS,
    LEAST_IMAGES,
    ImageSet,
    count_training,
    load_images,
    make_loader,
    split_images,
)

N_CLASSES = 10
FILTERS, HIDDEN = (4, 8), 30
KERNEL = 3
XAVIER_GAIN = 0.5
LEAST_SPREAD = 1e-8
"""Is added to the standard deviation of what was generated, which may be 0."""
MOST_NORM = 10.0
"""Of the gradient, which is clipped to it."""
CHUNK = 2_000
"""Images that are validated at a time."""
SHOTS_PER_OUTCOME = 100
"""So many measure the average outcome to a tenth of its probability.

After 250 steps, the cosine between the sampled gradient and the exact one was then 0.7 to 0.98; with 1,024 shots it was
-0.1 to 0.4.
"""
MOST_BLOCKS, MOST_WIDTHS, MOST_DIGITS = 1_000, 10, 4
REPAIRED, PUBLISHED = "repaired", "published"
CHAIN, CYCLIC, ALL_TO_ALL = "chain", "cyclic", "all-to-all"
NO, YES = "no", "yes"
KNOWN = {
    "dataset": tuple(IMAGE_SETS),
    "initialisation": (REPAIRED, PUBLISHED),
    "entanglement": (CHAIN, CYCLIC, ALL_TO_ALL),
    "baseline": (NO, YES),
}

_log = logging.getLogger("qorch")


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
            "baseline": NO,
        },
    )
    own_options: Mapping[str, str] = MappingProxyType(
        {
            "dataset": " or ".join(IMAGE_SETS),
            "initialisation": f"{REPAIRED}: generated layers have He's scale; {PUBLISHED}: most seeds die",
            "entanglement": f"CNOTs of each block: {CHAIN}, {CYCLIC} or {ALL_TO_ALL}",
            "blocks": "blocks of RY on every qubit and CNOTs",
            "mapping": "widths of the mapping network's hidden layers, such as 20 or 20,40,20",
            "angle-spread": "standard deviation of the first angles, in radians",
            "lr": "Adam's learning rate",
            "baseline": f"{YES}: beside it, the same CNN is trained without a circuit, all its weights; or {NO}",
        }
    )

    def check(self, options: Options) -> None:
        """Raise UsageError for options that cannot be, and for data files that are missing or damaged."""
        self._check_options(options)
        options = options.filled(self.defaults)
        load_images(options.own["dataset"], options.data_dir)

    def outline(self, options: Options) -> Outline:
        """See Workload: all batches are full; a step and a validation execute one row of angles each."""
        self._check_options(options)
        options = options.filled(self.defaults)
        model = prepare_model(options)
        count = IMAGE_SETS[options.own["dataset"]].count
        n_training = count_training(min(count, options.limit or count))

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
        training, validation = split_images(
            options.own["dataset"], options.data_dir, limit=options.limit, seed=options.seed
        )
        model, baseline = prepare_model(options), prepare_baseline(options)
        models: tuple[Cnn, ...] = (model,) if baseline is None else (model, baseline)
        best, record = copy.deepcopy(model), {"accuracy": -1.0}
        optimizer = torch.optim.Adam([w for each in models for w in each.parameters()], lr=learning_rate(options))
        loader = make_loader(training, batch_size=prepare_batch_size(options, len(training)))
        epochs = positive(options.epochs, "epochs")
        for epoch in run.epochs(epochs, save=(best, *models, optimizer, record)):
            for images, labels in run.steps(loader):
                optimizer.zero_grad()
                losses = [take_gradient(each, images, labels) for each in models]
                optimizer.step()
                run.log(dict(zip(("loss", "baseline_loss"), losses, strict=False)))
            measured = validate(model, validation)
            if measured["validation_accuracy"] > record["accuracy"]:
                record["accuracy"] = measured["validation_accuracy"]
                best.load_state_dict(model.state_dict())
            if measured["is_dead"] and not run.metrics.get("is_dead"):
                _warn_of_death(run, epoch=epoch, loss=measured["validation_loss"])
            run.log(measured, best_validation_accuracy=record["accuracy"])
            if baseline is not None:
                run.log(baseline_accuracy=validate(baseline, validation)["validation_accuracy"])
        return Training(epochs * len(loader), run.metrics, weights_digest(model))

    def _check_options(self, options: Options) -> None:
        check_own_options(self, options)
        options = options.filled(self.defaults)
        for name, known in KNOWN.items():
            if options.own[name] not in known:
                raise UsageError(f"--{name} is '{options.own[name]}'; choose one of {', '.join(known)}")
        read_blocks(options)
        read_mapping(options)
        positive_number(options, "angle-spread")
        learning_rate(options)
        gradient_method(options)
        positive(options.epochs, "epochs")
        positive(options.batch_size, "batch-size")
        if options.limit is not None and positive(options.limit, "limit") < LEAST_IMAGES:
            raise UsageError(f"--limit is {options.limit}; {self.name} needs at least {LEAST_IMAGES} images")
        _warn_of_few_shots(options)


class Cnn(torch.nn.Module):
    """Two convolutions and two linear layers, whose weights come from ``generate``."""

    def generate(self) -> list[torch.Tensor]:
        """One tensor for each of ``list_shapes``."""
        raise NotImplementedError

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores ``(N, 10)`` of images ``(N, C, H, W)``."""
        return classify(images, self.generate())[0]


class PlainCnn(Cnn):
    """The classical baseline: all weights of the CNN are trained, from He's initialisation."""

    def __init__(self, images: ImageSet) -> None:
        """Biases are zero at first."""
        super().__init__()
        self.weights = torch.nn.ParameterList(torch.zeros(shape) for shape in list_shapes(images))
        for kernel in self.weights[::2]:
            torch.nn.init.kaiming_normal_(kernel)

    def generate(self) -> list[torch.Tensor]:
        """They are what is trained."""
        return list(self.weights)


class GeneratedCnn(Cnn):
    """A CNN without weights of its own: a circuit and a mapping network generate them, and are trained."""

    bits: torch.Tensor

    def __init__(
        self, circuit: QuantumCircuit, images: ImageSet, *, widths: Sequence[int], is_repaired: bool, **layer: Any
    ) -> None:
        """``widths`` of the mapping network's hidden layers; ``layer``: further arguments of the circuit's layer."""
        super().__init__()
        self.shapes = list_shapes(images)
        self.is_repaired = is_repaired
        self.layer = qorch.QuantumLayer(circuit, weights=circuit.parameters, observables=qorch.probabilities(), **layer)
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
        sizes = [math.prod(shape) for shape in self.shapes]
        if self.is_repaired:
            layers = torch.split(values, [sum(pair) for pair in zip(sizes[::2], sizes[1::2], strict=True)])
            fans_in = [math.prod(kernel[1:]) for kernel in self.shapes[::2]]
            values = torch.cat([standardise(*layer) for layer in zip(layers, fans_in, strict=True)])
        return [part.view(shape) for part, shape in zip(torch.split(values, sizes), self.shapes, strict=True)]


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


def list_shapes(images: ImageSet) -> list[tuple[int, ...]]:
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


def standardise(layer: torch.Tensor, fan_in: int) -> torch.Tensor:
    """A layer's kernel and bias at mean 0 and at He's standard deviation, sqrt(2 / fan-in).

    K. He et al., "Delving deep into rectifiers", 2015.
    """
    spread, mean = torch.std_mean(layer, correction=0)
    return (layer - mean) * (math.sqrt(2 / fan_in) / (spread + LEAST_SPREAD))


def classify(images: torch.Tensor, weights: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores ``(N, 10)`` of a CNN with these weights, and the last hidden layer ``(N, 30)``."""
    for kernel, bias in (weights[0:2], weights[2:4]):
        # Channels last, and the ReLU after the pooling, which gives the same: a third faster.
        last = kernel.contiguous(memory_format=torch.channels_last)
        images = functional.relu(functional.max_pool2d(functional.conv2d(images, last, bias), 2))
    hidden = functional.relu(functional.linear(images.flatten(1), weights[4], weights[5]))
    return functional.linear(hidden, weights[6], weights[7]), hidden


def take_gradient(model: Cnn, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss of a batch, whose gradient is added to that of the weights, and clipped."""
    loss = functional.cross_entropy(model(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), MOST_NORM)
    return loss.detach()


def validate(model: Cnn, data: torch.utils.data.TensorDataset) -> dict[str, float]:
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
        " dead; start again with another --seed, or with --initialisation repaired", run.run_id, epoch + 1, loss,
    )  # fmt: skip


def _warn_of_few_shots(options: Options) -> None:
    n_outcomes = 1 << count_qubits(IMAGE_SETS[options.own["dataset"]])
    if options.shots is not None and options.shots < (wanted := SHOTS_PER_OUTCOME * n_outcomes):
        _log.warning(
            "%d shots are too few to tell %d outcomes apart, and the gradient will be mostly noise; give %d shots or"
            " more, or train on a simulator with exact values, which is the default",
            options.shots, n_outcomes, wanted,
        )  # fmt: skip


def count_qubits(images: ImageSet) -> int:
    """As many as give one basis state or more to each weight of the CNN."""
    return (sum(map(math.prod, list_shapes(images))) - 1).bit_length()


def prepare_model(options: Options) -> GeneratedCnn:
    """The model of a training, from its seed."""
    torch.manual_seed(options.seed)
    images = IMAGE_SETS[options.own["dataset"]]
    circuit = build_circuit(count_qubits(images), blocks=read_blocks(options), entanglement=options.own["entanglement"])
    return GeneratedCnn(
        circuit,
        images,
        widths=read_mapping(options),
        is_repaired=options.own["initialisation"] == REPAIRED,
        shots=options.shots,
        gradient=gradient_method(options),
        initial=lambda angles: angles.normal_(0.0, positive_number(options, "angle-spread")),
    )


def prepare_baseline(options: Options) -> PlainCnn | None:
    """The classical baseline, if it is wanted; torch's random state stays as it is."""
    with torch.random.fork_rng(devices=()):
        return PlainCnn(IMAGE_SETS[options.own["dataset"]]) if options.own["baseline"] == YES else None


def read_blocks(options: Options) -> int:
    """The number of blocks. Raises UsageError."""
    return whole_option(options, "blocks", least=1, most=MOST_BLOCKS)


def read_mapping(options: Options) -> list[int]:
    """``"20,40,20"``: the widths of three hidden layers. Raises UsageError for what is no list of such numbers."""
    text = options.own["mapping"]
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) <= MOST_DIGITS for part in parts) or len(parts) > MOST_WIDTHS:
        raise UsageError(
            f"--mapping is '{text}'; give up to {MOST_WIDTHS} whole numbers of up to {MOST_DIGITS} digits, such as 20"
            " or 20,40,20"
        )
    return [positive(int(part), "mapping") for part in parts]


def prepare_batch_size(options: Options, n_training: int) -> int:
    """The batch size, or all training images if these are fewer."""
    return min(positive(options.batch_size, "batch-size"), n_training)


WORKLOAD = QuantumTrain()
