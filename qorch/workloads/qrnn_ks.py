"""`qrnn-ks`: a chaotic field's next values from a recurrent network that has a circuit in its cell."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from sklearn.decomposition import PCA

import qorch
from qorch.errors import UsageError
from qorch.gradients.methods import GRADIENTS
from qorch.model.arrays import FloatArray
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
from qorch.workloads.kuramoto_sivashinsky import DIMENSIONS, Equation, draw_fields, integrate

Loader = torch.utils.data.DataLoader[tuple[torch.Tensor, ...]]
LENGTH = 22.0
"""Of the periodic domain: the shortest that is often studied, chaotic with few active modes."""
POINTS = 32
STEP = 0.25
STEPS_APART = 8
"""Of the integrator, between two values of a sequence: 2 units of time, about a tenth of the Lyapunov time."""
SEQUENCES_PER_FIELD = 10
"""That are cut from the course of one field, one after the other."""
TEST_SHARE = 0.2
LEAST_SEQUENCES = 10
MOST_QUBITS = 12
BASELINE_RATE = 0.01
MAX_GRADIENT_NORM = 1.0
ADAM, SPSA = OPTIMIZERS = ("adam", "spsa")


@dataclass(frozen=True)
class QrnnData:
    """Sequences to train on and to test, each ``(window + 1, C)``, and the loss of persistence on the latter."""

    train: torch.utils.data.TensorDataset
    test: torch.Tensor
    persistence_loss: float


class QrnnKs:
    """Next-step prediction by a hybrid recurrent network; see the module."""

    name = "qrnn-ks"
    summary = "Kuramoto-Sivashinsky chaos: a recurrent network with 8 qubits and 16 weights in its cell predicts it"
    defaults = Options(
        shots=1024,
        epochs=10,
        batch_size=8,
        limit=320,
        gradient=GRADIENTS[0],
        own={"qubits": "8", "layers": "2", "lr": "0.02", "optimizer": ADAM, "window": "16", "dimension": "1"},
    )
    own_options: Mapping[str, str] = MappingProxyType(
        {
            "qubits": "of the cell: half for the data, half for the hidden state",
            "layers": "of the circuit, each with one weight a qubit",
            "lr": "the learning rate: Adam's, or the first gain of SPSA, its a",
            "optimizer": "adam, or spsa: no gradients, but the loss twice a step, moved in all weights at once",
            "window": "steps of a sequence, through which gradients go back",
            "dimension": "of the field: 1 or 2",
        }
    )

    def check(self, options: Options) -> None:
        """Raise UsageError for options that cannot be."""
        check_own_options(self, options)
        options = options.filled(self.defaults)
        learning_rate(options)
        gradient_method(options)
        if options.own["optimizer"] not in OPTIMIZERS:
            raise UsageError(f"--optimizer is '{options.own['optimizer']}'; choose {' or '.join(OPTIMIZERS)}")
        _whole(options, "qubits", least=2, most=MOST_QUBITS)
        _whole(options, "layers", least=1, most=100)
        _whole(options, "window", least=1, most=1000)
        _whole(options, "dimension", least=DIMENSIONS[0], most=DIMENSIONS[-1])
        positive(options.epochs, "epochs")
        positive(options.batch_size, "batch-size")
        if positive(options.limit, "limit") < LEAST_SEQUENCES:
            raise UsageError(f"--limit is {options.limit}; {self.name} needs at least {LEAST_SEQUENCES} sequences")

    def outline(self, options: Options) -> Outline:
        """See Workload: all batches are full, and each epoch is tested."""
        self.check(options)
        options = options.filled(self.defaults)
        n_train, n_test = count_sequences(options)
        batch_size, model = min(positive(options.batch_size, "batch-size"), n_train), prepare_model(options)

        def zeros(count: int) -> torch.Tensor:
            return torch.zeros((count, read_window(options) + 1, model.n_components))

        def step() -> None:
            train_step(model, prepare_optimizer(model, options), zeros(batch_size))

        def evaluate() -> float:
            return measure_loss(model, zeros(n_test))

        return Outline(positive(options.epochs, "epochs"), n_train // batch_size, step, evaluate)

    def train(self, run: Run, options: Options) -> Training:
        """Train the model and, beside it on the same batches, a classical network; test both after every epoch."""
        options = options.filled(self.defaults)
        model = prepare_model(options)
        baseline = ClassicalNetwork(model.n_components, n_weights=count_weights(model))
        data = load_data(options, n_components=model.n_components)
        batch_size = min(positive(options.batch_size, "batch-size"), len(data.train))
        loader: Loader = torch.utils.data.DataLoader(data.train, batch_size=batch_size, shuffle=True, drop_last=True)
        optimizer = prepare_optimizer(model, options)
        baseline_optimizer = torch.optim.Adam(baseline.parameters(), lr=BASELINE_RATE)
        pairs = ((model, optimizer), (baseline, baseline_optimizer))
        epochs = positive(options.epochs, "epochs")
        for _ in run.epochs(epochs, save=(model, optimizer, baseline, baseline_optimizer)):
            for (sequences,) in run.steps(loader):
                loss, baseline_loss = (train_step(each, steps, sequences) for each, steps in pairs)
                run.log(loss=loss, baseline_loss=baseline_loss)
            run.log(test_loss=measure_loss(model, data.test), baseline_test_loss=measure_loss(baseline, data.test))
        metrics = run.metrics | {"persistence_loss": data.persistence_loss}
        return Training(epochs * len(loader), metrics, weights_digest(model))


def _whole(options: Options, name: str, *, least: int, most: int) -> int:
    """An option of this workload that is a whole number. Raises UsageError for another value."""
    text = options.own[name]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise UsageError(f"--{name} is '{text}'; give a whole number from {least} to {most}")
    return int(text)


def read_window(options: Options) -> int:
    """The steps of a sequence that are predicted."""
    return int(options.own["window"])


def count_sequences(options: Options) -> tuple[int, int]:
    """How many sequences are trained on, and how many tested."""
    limit = positive(options.limit, "limit")
    n_test = round(TEST_SHARE * limit)
    return limit - n_test, n_test


def prepare_optimizer(model: torch.nn.Module, options: Options) -> torch.optim.Optimizer:
    """Adam, or SPSA with the seed of the training."""
    rate = learning_rate(options)
    if options.own["optimizer"] == SPSA:
        return qorch.SPSA(model.parameters(), lr=rate, seed=options.seed)
    return torch.optim.Adam(model.parameters(), lr=rate)


def train_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, sequences: torch.Tensor) -> float:
    """Train on one batch; the loss before the step, or where SPSA evaluated it."""
    if isinstance(optimizer, qorch.SPSA):
        return optimizer.step(lambda: predict_loss(model, sequences))
    loss = predict_loss(model, sequences)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    # Sampled gradients of many steps multiply: now and then one is ten times too large.
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    optimizer.step()
    return loss.item()


def predict_loss(model: torch.nn.Module, sequences: torch.Tensor) -> torch.Tensor:
    """The mean squared error of all next values of sequences ``(B, window + 1, C)``, of which the variance is 1."""
    values = sequences.transpose(0, 1)
    return torch.nn.functional.mse_loss(model(values[:-1]), values[1:])


def measure_loss(model: torch.nn.Module, sequences: torch.Tensor) -> float:
    """The loss, without gradients."""
    with torch.no_grad():
        return float(predict_loss(model, sequences))


class QuantumNetwork(torch.nn.Module):
    """A recurrent network with a circuit as its cell: values ``(T, B, C)`` to those that follow, ``(T, B, C)``.

    Of n qubits, n - n // 2 take the C components of the field, the others the hidden state. The <Z> of all are mapped
    linearly to the change of the field, and to the next hidden state. All shifted circuits of a sequence leave as one
    batch, and none is shifted for the data.
    """

    def __init__(self, n_qubits: int, n_layers: int, *, shots: int | None, gradient: str) -> None:
        """With random weights, small ones in the circuit."""
        super().__init__()
        circuit, data, state, weights = build_circuit(n_qubits, n_layers)
        self.n_components = len(data)
        self.circuit = qorch.QuantumLayer(
            circuit,
            inputs=[*data, *state],
            weights=weights,
            observables=[f"Z{qubit}" for qubit in range(n_qubits)],
            initial=lambda values: values.normal_(0.0, 0.3),
            shots=shots,
            gradient=gradient,
            eager=False,
        )
        self.first_state = torch.nn.Parameter(torch.zeros(len(state)))
        self.to_state = torch.nn.Linear(n_qubits, len(state))
        self.to_change = torch.nn.Linear(n_qubits, len(data))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Every value is predicted from those before it."""
        state = self.first_state.expand(values.shape[1], -1)
        measured = []
        for value in values:
            # Angles about π/2, where <Z> changes fastest; components are about -2 to 2.
            measured.append(self.circuit(math.pi / 2 * (1 + value / 2), math.pi / 2 * (1 + state)))
            state = torch.tanh(self.to_state(measured[-1]))
        changes: torch.Tensor = self.to_change(torch.stack(measured))
        return values + changes


def build_circuit(
    n_qubits: int, n_layers: int
) -> tuple[QuantumCircuit, ParameterVector, ParameterVector, ParameterVector]:
    """RY of data and hidden state, then layers of a ring of CX and RY on every qubit: n_qubits * n_layers weights."""
    n_state = n_qubits // 2
    data, state = ParameterVector("x", n_qubits - n_state), ParameterVector("h", n_state)
    weights = ParameterVector("w", n_qubits * n_layers)
    circuit = QuantumCircuit(n_qubits)
    for qubit, angle in enumerate([*data, *state]):
        circuit.ry(angle, qubit)
    for layer in range(n_layers):
        for qubit in range(n_qubits):
            circuit.cx(qubit, (qubit + 1) % n_qubits)
        for qubit in range(n_qubits):
            circuit.ry(weights[n_qubits * layer + qubit], qubit)
    return circuit, data, state, weights


class ClassicalNetwork(torch.nn.Module):
    """The baseline: torch's recurrent network, with about as many weights."""

    def __init__(self, n_components: int, *, n_weights: int) -> None:
        """As many hidden units as come nearest to ``n_weights``."""
        super().__init__()
        sizes = {hidden: hidden**2 + (2 * n_components + 2) * hidden + n_components for hidden in range(1, 100)}
        hidden = min(sizes, key=lambda size: abs(sizes[size] - n_weights))
        self.cell = torch.nn.RNN(n_components, hidden)
        self.to_change = torch.nn.Linear(hidden, n_components)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """As that of QuantumNetwork."""
        changes: torch.Tensor = self.to_change(self.cell(values)[0])
        return values + changes


def prepare_model(options: Options) -> QuantumNetwork:
    """The model of a training, from its seed."""
    torch.manual_seed(options.seed)
    n_qubits, n_layers = int(options.own["qubits"]), int(options.own["layers"])
    return QuantumNetwork(n_qubits, n_layers, shots=options.shots, gradient=gradient_method(options))


def count_weights(model: torch.nn.Module) -> int:
    """All numbers that are trained."""
    return sum(parameter.numel() for parameter in model.parameters())


def load_data(options: Options, *, n_components: int) -> QrnnData:
    """Sequences of the leading principal components of the field, divided by one number: their variance is 1."""
    random = np.random.default_rng(options.seed)
    equation = Equation(LENGTH, POINTS, int(options.own["dimension"]))
    train, test = (
        draw_sequences(equation, count, length=read_window(options) + 1, random=random)
        for count in count_sequences(options)
    )
    pca = PCA(n_components, svd_solver="arpack", random_state=0).fit(train.reshape(-1, train.shape[-1]))
    scale = math.sqrt(pca.explained_variance_.mean())

    def as_components(sequences: FloatArray) -> torch.Tensor:
        components = pca.transform(sequences.reshape(-1, sequences.shape[-1])) / scale
        return torch.as_tensor(components, dtype=torch.float32).reshape(*sequences.shape[:2], n_components)

    tested = as_components(test)
    persistence = torch.nn.functional.mse_loss(tested[:, :-1], tested[:, 1:])
    return QrnnData(torch.utils.data.TensorDataset(as_components(train)), tested, float(persistence))


def draw_sequences(equation: Equation, count: int, *, length: int, random: np.random.Generator) -> FloatArray:
    """Values of the equation in sequences ``(count, length, all grid points)``."""
    n_fields = math.ceil(count / SEQUENCES_PER_FIELD)
    fields = draw_fields(equation, n_fields, random=random, step=STEP)
    course = integrate(fields, equation, step=STEP, samples=length * math.ceil(count / n_fields), every=STEPS_APART)
    sequences = course.reshape(-1, length, n_fields, math.prod(equation.shape))
    return np.moveaxis(sequences, 2, 0).reshape(-1, length, sequences.shape[-1])[:count]


WORKLOAD = QrnnKs()
