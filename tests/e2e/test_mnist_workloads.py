"""`qnn-mnist` and `encoder-mnist` on small files that are made here: training, quoting, resuming, and refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from idx_files import idx_labels, write_mnist

import qorch
from qorch.errors import UsageError
from qorch.workloads import encoder_mnist, qnn_mnist
from qorch.workloads.base import Options
from qorch.workloads.mnist import TEST, TRAINING

SAMPLED = ("--shots", "10", "--gradient", "parameter-shift")
SMALL = ("--limit", "10", "--epochs", "1", "--batch-size", "4")
QNN = ("qnn-mnist", *SMALL, "--layers", "0", "--classes", "3,6", "--limit", "8")
ENCODER = ("encoder-mnist", *SMALL, "--autoencoder-epochs", "1", "--wires", "5")
BOTH = pytest.mark.parametrize("training", [QNN, ENCODER], ids=lambda training: training[0])


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the files, which the trainings find."""
    monkeypatch.setenv("QORCH_DATA_DIR", str(tmp_path / "data"))
    return write_mnist(tmp_path / "data" / "mnist")


def test_the_circuits_are_those_that_were_described() -> None:
    """X on each bit that is 1 and rings of CZ; RX, a chain of CX, RX and RY."""
    circuit, bits, weights = qnn_mnist.build_circuit(3)
    assert dict(circuit.count_ops()) == {"rx": 16, "ry": 16 * 4, "cz": 16 * 3}
    assert (len(bits), len(weights)) == (16, 64)
    circuit, angles, weights = encoder_mnist.build_circuit(10)
    assert dict(circuit.count_ops()) == {"rx": 20, "ry": 10, "cx": 9}
    assert (len(angles), len(weights)) == (10, 20)


def test_the_circuit_of_bits_is_one_for_all_images() -> None:
    """With all weights 0, each <Z> is 1 where the bit is 0, and -1 where it is 1."""
    circuit, inputs, weights = qnn_mnist.build_circuit(2)
    layer = qorch.QuantumLayer(
        circuit, inputs=inputs, weights=weights, observables=[f"Z{q}" for q in range(16)], shots=None,
        initial=torch.nn.init.zeros_,
    )  # fmt: skip
    bits = torch.randint(0, 2, (5, 16), generator=torch.Generator().manual_seed(0)).float()
    with layer.eval_on("local"), torch.no_grad():
        assert torch.allclose(layer(bits), 1 - 2 * bits, atol=1e-5)


def test_equal_bits_are_executed_once_and_change_no_gradient() -> None:
    """Values and gradients of a batch with equal rows are those of the plain layer."""
    circuit, inputs, weights = qnn_mnist.build_circuit(1)
    layer = qorch.QuantumLayer(circuit, inputs=inputs, weights=weights, observables=["Z0", "Z5"], shots=None)
    bits = torch.zeros((6, 16))
    bits[::2, 3] = 1
    outcomes = []
    with layer.eval_on("local"):
        for model in (layer, qnn_mnist.EqualRowsOnce(layer)):
            values = model(bits)
            (gradient,) = torch.autograd.grad((values * torch.arange(12).reshape(6, 2)).sum(), layer.weights)
            assert layer.last_result is not None
            outcomes.append((values, gradient, len(layer.last_result.values)))
    (plain, plain_gradient, n_plain), (once, gradient, n_once) = outcomes
    assert (n_plain, n_once) == (6, 2)
    assert torch.allclose(plain, once)
    assert torch.allclose(plain_gradient, gradient, atol=1e-5)
    assert gradient.abs().max() > 1e-3


def test_scores_are_scaled_products_of_cosines() -> None:
    """As the circuit's documentation says: of all angles up to the qubit, and the last one is moved by a weight."""
    circuit, inputs, weights = encoder_mnist.build_circuit(5)
    layer = qorch.QuantumLayer(circuit, inputs=inputs, weights=weights, observables=[f"Z{q}" for q in range(5)])
    angles = torch.linspace(-1.0, 2.0, 15).reshape(3, 5)
    with layer.eval_on("local", shots=None), torch.no_grad():
        values = layer(angles)
        first, second = layer.weights[:5], layer.weights[5:]
        factors = angles.cos()
        scales = first.cos() * second.cos()
        expected = scales * factors.cumprod(dim=1)
        expected[:, 4] = second[4].cos() * factors[:, :4].prod(dim=1) * (angles[:, 4] + first[4]).cos()
    assert torch.allclose(values, expected, atol=1e-5)


@BOTH
def test_it_trains_as_it_is_quoted(typed: Any, training: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its files a quote is the same; its curves show the loss and the accuracy."""
    trained = typed("train", *training, *SAMPLED, "--json").document
    monkeypatch.delenv("QORCH_DATA_DIR")
    quote = typed("quote", *training, *SAMPLED, "--backend", "local", "--json").document
    assert (quote["rows"], quote["jobs"]) == (trained["rows_executed"], trained["jobs"])
    assert trained["steps"] == 2
    assert {"loss", "test_accuracy", "logistic_regression_accuracy"} <= set(trained["metrics"])
    plotted = typed("plot", trained["run"], "--out", "curves.png", "--json").document
    assert {"loss", "test_accuracy"} <= set(plotted["metrics"])
    assert (typed.folder / "curves.png").stat().st_size > 0


@BOTH
def test_a_training_that_was_cut_off_ends_with_the_same_bits(
    typed: Any, training: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was cut off in its second step, and is resumed for longer than it was started."""
    whole = typed("train", *training, "--epochs", "2", "--json").document
    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.functional, "cross_entropy", cut_off_after(1))
        cut = typed("train", *training, "--name", "cut")
        assert "cut off" in cut.err
    resumed = typed("train", training[0], "--resume", "cut", "--epochs", "2", "--json").document
    assert resumed["steps"] == 4
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert resumed["metrics"] == whole["metrics"]


def cut_off_after(count: int) -> Any:
    """The loss function, which fails after so many calls."""
    compute, calls = torch.nn.functional.cross_entropy, iter(range(count))

    def fail_later(*arguments: Any) -> torch.Tensor:
        if next(calls, None) is None:
            raise UsageError("cut off")
        return compute(*arguments)

    return fail_later


def test_the_ten_expectation_values_are_the_scores(typed: Any) -> None:
    """Ten wires have no head; with 1,024 shots a gradient of a batch of 4 is 164 circuits."""
    arguments = ("encoder-mnist", *SMALL, "--autoencoder-epochs", "1")
    quote = typed("quote", *arguments, *SAMPLED, "--backend", "local", "--json").document
    assert quote["step"]["rows"] == 164
    trained = typed("quote", *arguments, *SAMPLED, "--encoder", "trained", "--backend", "local", "--json").document
    assert trained["step"]["rows"] == 4 * (1 + 2 * 20 + 2 * 10)
    _, circuit = encoder_mnist.prepare_model(Options(shots=None).filled(encoder_mnist.WORKLOAD.defaults))
    assert sum(weights.numel() for weights in circuit.parameters()) == 20


def test_an_encoder_can_be_trained_through_the_circuit(typed: Any) -> None:
    """Its weights change with the steps; those of a frozen one do not."""
    runs = [
        typed("train", *ENCODER, "--encoder", encoder, "--lr", "0.01", "--json").document["metrics"]
        for encoder in encoder_mnist.ENCODERS
    ]
    assert runs[0]["reconstruction_error"] == runs[1]["reconstruction_error"]
    assert runs[0]["loss"] != runs[1]["loss"]


def test_what_the_bits_allow_is_measured(data: Path) -> None:
    """Two digits that look alike cannot be told apart: the best classifier finds one of them."""
    bits, labels = torch.zeros((8, 16)), torch.arange(8) % 2
    bits[6:, 0] = 1
    part = torch.utils.data.TensorDataset(bits, labels)
    table = np.zeros(2**16, dtype=np.int64)
    table[1] = 1
    allowed = qnn_mnist.measure_bits(qnn_mnist.BitData({TRAINING: part, TEST: part}, {}, table))
    assert allowed["best_of_bits_accuracy"] == 4 / 8
    loaded = qnn_mnist.load_data(Options(shots=None, data_dir=data, limit=40).filled(qnn_mnist.WORKLOAD.defaults))
    assert (loaded.table[qnn_mnist._patterns(loaded.bits[TEST].tensors[0])] == np.arange(10)).all()


def test_a_field_is_1_above_the_threshold() -> None:
    """By the mean of its 7×7 pixels, fields row by row."""
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, 7:14, 14:21] = 128
    bits = qnn_mnist.binarise(image, threshold=0.5)
    assert np.flatnonzero(bits).tolist() == [6]
    assert not qnn_mnist.binarise(image, threshold=128 / 255).any()


@pytest.mark.parametrize(
    ("training", "options", "said"),
    [
        (QNN, ("--layers", "-1"), "--layers is"),
        (QNN, ("--threshold", "1.5"), "--threshold is '1.5'"),
        (QNN, ("--classes", "3,12"), "--classes is '3,12'; give two or more different digits"),
        (QNN, ("--lr", "0"), "--lr is '0'"),
        (ENCODER, ("--wires", "7"), "--wires is '7'; choose 10, or 5"),
        (ENCODER, ("--encoder", "thawed"), "--encoder is 'thawed'"),
        (ENCODER, ("--autoencoder-epochs", "0"), "--autoencoder-epochs is 0"),
    ],
)
def test_options_that_cannot_be_are_refused(
    typed: Any, training: tuple[str, ...], options: tuple[str, ...], said: str
) -> None:
    """In a training and in a quote, with one sentence, and nothing is written."""
    for command in (("train",), ("quote", "--backend", "local")):
        assert said in typed(command[0], training[0], *command[1:], *SMALL, *options).error
    assert not typed.database.exists()


@BOTH
def test_files_that_are_not_right_are_refused_before_a_run_starts(
    typed: Any, data: Path, training: tuple[str, ...]
) -> None:
    """Missing and damaged ones, with one sentence."""
    labels = data / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(b"damaged")
    assert f"{labels} cannot be read as a gzip file" in typed("train", *training).error
    labels.unlink()
    assert "there is no IDX file t10k-labels-idx1-ubyte or" in typed("train", *training).error
    assert not typed.database.exists()


def test_a_class_without_images_is_named(typed: Any, data: Path) -> None:
    """The first images have none of it, or the files do not."""
    assert "no image of the train files that is used is a 6" in typed("train", *QNN, "--limit", "1").error
    assert "no image of the train files that is used is a 4" in typed("train", *ENCODER, "--limit=4").error
    (data / "t10k-labels-idx1-ubyte").write_bytes(idx_labels(np.zeros(20, dtype=np.uint8)))
    assert "no image of the t10k files that is used is a 3" in typed("train", *QNN).error
