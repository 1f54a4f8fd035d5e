"""`quantum-train` on images that are made here: training, resuming, quoting, dead runs, data that is not right."""

import gzip
import logging
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import qorch
from qorch.workloads import cifar, quantum_train
from qorch.workloads.base import Options
from qorch.workloads.image_sets import IMAGE_SETS, split_images
from qorch.workloads.quantum_train import (
    KNOWN,
    WORKLOAD,
    build_circuit,
    count_qubits,
    list_shapes,
    prepare_model,
    standardise,
    validate,
)

N_IMAGES = 40
SMALL = ("--epochs", "1", "--batch-size", "16", "--blocks", "1")

TINY = """description = "nothing takes long"
[latencies]
network = { seconds = "0.001", source = "a test" }
queue = { seconds = "0.001", source = "a test" }
execution = { seconds = "0.001", source = "a test" }
"""


def make_mnist(folder: Path) -> Path:
    """Noise in IDX files, the images plain and the labels packed."""
    random = np.random.default_rng(0)
    folder.mkdir()
    pixels = random.integers(0, 256, size=(N_IMAGES, 28, 28), dtype=np.uint8)
    (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, N_IMAGES, 28, 28) + pixels.tobytes())
    labels = np.arange(N_IMAGES, dtype=np.uint8) % 10
    content = struct.pack(">2I", 2049, N_IMAGES) + labels.tobytes()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
    return folder


def make_cifar10(folder: Path) -> Path:
    """Eight records in each training batch; image k has label k modulo 10, and all pixels of a channel are alike."""
    folder.mkdir(parents=True)
    for batch, name in enumerate(cifar.TRAINING):
        numbers = np.arange(8 * batch, 8 * batch + 8, dtype=np.uint8)[:, None]
        colours = [np.repeat(numbers + 50 * channel, 1024, axis=1) for channel in range(3)]
        (folder / name).write_bytes(np.concatenate([numbers % 10, *colours], axis=1).tobytes())
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder that has the files of MNIST."""
    return make_mnist(tmp_path / "data")


def make_model(**own: str) -> quantum_train.GeneratedCnn:
    """The model of the defaults, but for these options."""
    return prepare_model(Options(shots=None, own=own).filled(WORKLOAD.defaults))


def test_it_is_the_system_that_was_described() -> None:
    """MNIST: 13 qubits, 104 RY, 321 weights of the mapping network, 6,676 of the CNN. CIFAR-10 needs 14 qubits."""
    model = make_model()
    assert model.layer.circuit.n_qubits == 13
    assert (model.layer.weights.numel(), sum(item.numel() for item in model.mapping.parameters())) == (104, 321)
    sizes = [int(np.prod(shape)) for shape in list_shapes(IMAGE_SETS["mnist"])]
    assert sizes == [36, 4, 288, 8, 6000, 30, 300, 10]
    assert sum(sizes) == 6_676
    assert count_qubits(IMAGE_SETS["cifar10"]) == 14
    deeper = make_model(mapping="20,40,20", blocks="16")
    assert (deeper.layer.weights.numel(), sum(item.numel() for item in deeper.mapping.parameters())) == (208, 1_981)


@pytest.mark.parametrize(("entanglement", "count"), [("chain", 12), ("cyclic", 13), ("all-to-all", 78)])
def test_blocks_are_entangled_as_asked(entanglement: str, count: int) -> None:
    """Two blocks have twice the CNOTs of one."""
    assert entanglement in KNOWN["entanglement"]
    circuit = build_circuit(13, blocks=2, entanglement=entanglement)
    assert dict(circuit.count_ops()) == {"ry": 26, "cx": 2 * count}


def test_gradients_reach_the_circuit_and_agree_with_shifts() -> None:
    """The exact gradient by the angles, through all generated weights, is that of finite differences."""
    model = make_model(blocks="1").double()
    images, labels = torch.randn(8, 1, 28, 28, dtype=torch.float64), torch.arange(8)

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(images), labels)

    with qorch.QuantumLayer.eval_on("local"):
        loss().backward()  # type: ignore[no-untyped-call]
        weights = model.layer.weights
        assert weights.grad is not None
        assert all(parameter.grad is not None for parameter in model.parameters())
        with torch.no_grad():
            weights[3] += 1e-6
            above = float(loss())
            weights[3] -= 2e-6
            slope = (above - float(loss())) / 2e-6
    assert float(weights.grad[3]) == pytest.approx(slope, rel=1e-4)


def test_generated_layers_have_the_scale_of_he() -> None:
    """Whatever was generated: mean 0, and a standard deviation of sqrt(2 / fan-in)."""
    layer = standardise(torch.randn(6_030) * 7 + 3, 200)
    assert float(layer.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(layer.std(correction=0)) == pytest.approx((2 / 200) ** 0.5, rel=1e-5)


def test_it_trains_as_it_is_quoted_and_goes_on(typed: Any, data: Path) -> None:
    """Without its files a quote is the same; a longer training is as good as one that was long from the start."""
    where = ("--data-dir", str(data))
    quote = typed("quote", "quantum-train", *SMALL, "--limit", str(N_IMAGES), "--backend", "local", "--json").document
    trained = typed("train", "quantum-train", *SMALL, *where, "--json").document
    assert (quote["rows"], quote["jobs"]) == (trained["rows_executed"], trained["jobs"]) == (3, 3)
    assert trained["steps"] == 2
    assert {"loss", "validation_accuracy", "validation_loss", "best_validation_accuracy"} <= set(trained["metrics"])
    assert trained["metrics"]["is_dead"] == 0.0
    longer = typed("train", "quantum-train", "--resume", "--epochs", "2", "--json").document
    whole = typed("train", "quantum-train", *SMALL, *where, "--epochs", "2", "--json").document
    assert longer["weights_sha256"] == whole["weights_sha256"] != trained["weights_sha256"]
    assert longer["metrics"] == whole["metrics"]


def test_the_baseline_does_not_change_the_training(typed: Any, data: Path) -> None:
    """It is trained beside on the same batches, and measured; the generated CNN gets the same weights."""
    arguments = ("train", "quantum-train", *SMALL, "--data-dir", str(data), "--json")
    alone = typed(*arguments).document
    beside = typed(*arguments, "--baseline", "yes").document
    assert beside["weights_sha256"] == alone["weights_sha256"]
    assert set(beside["metrics"]) - set(alone["metrics"]) == {"baseline_loss", "baseline_accuracy"}


def test_the_weights_of_the_best_epoch_are_kept(typed: Any, data: Path) -> None:
    """`qorch export` writes those of the run's first state, which reach the best accuracy that was logged."""
    trained = typed(
        "train", "quantum-train", *SMALL, "--epochs", "3", "--lr", "0.1", "--data-dir", str(data), "--json"
    ).document
    assert typed("export", "quantum-train", "best.pt").code == 0
    options = Options(shots=None, data_dir=data, own={"blocks": "1"}).filled(WORKLOAD.defaults)
    model = prepare_model(options)
    model.load_state_dict(torch.load(typed.folder / "best.pt", weights_only=True))
    with qorch.QuantumLayer.eval_on("local"):
        measured = validate(model, split_images("mnist", data, limit=None, seed=0)[1])
    accuracies = qorch.open_run("quantum-train").history().arrays("validation_accuracy")[1]
    assert measured["validation_accuracy"] == max(accuracies) == trained["metrics"]["best_validation_accuracy"]


def test_a_dead_run_is_named(
    typed: Any, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All generated weights are 0: a metric and a warning say that the network answers all images alike."""
    monkeypatch.setattr(quantum_train, "XAVIER_GAIN", 0.0)
    outcome = typed(
        "train", "quantum-train", *SMALL, "--initialisation", "published", "--data-dir", str(data), "--json"
    )
    assert outcome.document["metrics"]["is_dead"] == 1.0
    assert outcome.document["metrics"]["validation_loss"] == pytest.approx(np.log(10), abs=1e-3)
    assert "is dead after epoch 1" in caplog.text
    assert "--initialisation repaired" in caplog.text


def test_too_few_shots_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """A warning says how many shots would make sense; so many, or exact values, give none."""
    for shots in (None, 819_200):
        WORKLOAD.outline(Options(shots=shots))
    assert not caplog.records
    with caplog.at_level(logging.WARNING, logger="qorch"):
        WORKLOAD.outline(Options(shots=1024))
    assert "1024 shots are too few to tell 8192 outcomes apart" in caplog.text
    assert "819200 shots" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dataset", "svhn"), "--dataset is 'svhn'; choose one of mnist, cifar10"),
        (("--initialisation", "he"), "choose one of repaired, published"),
        (("--entanglement", "star"), "choose one of chain, cyclic, all-to-all"),
        (("--blocks", "0"), "--blocks is 0"),
        (("--mapping", "20,,20"), "--mapping is '20,,20'"),
        (("--mapping", "0"), "--mapping is 0"),
        (("--lr", "-1"), "--lr is '-1'"),
        (("--angle-spread", "wide"), "--angle-spread is 'wide'"),
        (("--baseline", "1"), "choose one of no, yes"),
        (("--gradient", "none"), "there is no gradient 'none'"),
        (("--limit", "19"), "needs at least 20 images"),
    ],
)
def test_options_that_cannot_be_are_refused(typed: Any, data: Path, options: tuple[str, ...], said: str) -> None:
    """In a training and in a quote, with one sentence, and nothing is written."""
    for command in (("train", "--data-dir", str(data)), ("quote", "--backend", "local")):
        assert said in typed(command[0], "quantum-train", *command[1:], *options).error
    assert not typed.database.exists()


def test_data_that_is_not_right_is_named(typed: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, another one, an IDX file that is cut off; and the same of CIFAR-10."""
    monkeypatch.delenv("QORCH_DATA_DIR", raising=False)

    def refuse(*words: str) -> str:
        said: str = typed("train", "quantum-train", *words).error
        return said

    assert "needs the IDX file train-images-idx3-ubyte" in refuse()
    images = data / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    assert f"{images} has only {28 * 28 * N_IMAGES - 1} bytes" in refuse("--data-dir", str(data))
    assert "needs the file data_batch_1.bin" in refuse("--dataset", "cifar10")
    where = ("--dataset", "cifar10", "--data-dir", str(data))
    assert "there is no file data_batch_1.bin or data_batch_1.bin.gz" in refuse(*where)
    (data / "cifar-10-batches-py").mkdir()
    assert "cifar-10-batches-py, is not read, as it consists of pickles" in refuse(*where)
    assert not typed.database.exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-1], "not one or more records of 3073 bytes"),
        (lambda content: b"", "has 0 bytes"),
        (lambda content: b"\x0a" + content[1:], "has the label 10"),
    ],
)
def test_a_damaged_file_of_cifar10_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    """Cut off, empty, a label that does not exist; the sentence names the file."""
    file = make_cifar10(tmp_path / "cifar10") / cifar.TRAINING[2]
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(qorch.errors.UsageError, match=said) as caught:
        cifar.load_cifar10(tmp_path)
    assert str(file) in str(caught.value)


def test_a_packed_file_of_cifar10_that_is_cut_off_is_named(tmp_path: Path) -> None:
    """A .gz that ends too early, and one that is none."""
    file = make_cifar10(tmp_path / "cifar10") / cifar.TRAINING[0]
    packed = gzip.compress(file.read_bytes())
    file.unlink()
    for content in (packed[: len(packed) // 2], b"no gzip"):
        file.with_suffix(".bin.gz").write_bytes(content)
        with pytest.raises(qorch.errors.UsageError, match="cannot be read as a gzip file of CIFAR-10"):
            cifar.load_cifar10(tmp_path)


def test_cifar10_is_read_and_trained(tmp_path: Path) -> None:
    """Channel by channel, with the labels that go with the images; 14 qubits generate a CNN for three channels."""
    make_cifar10(tmp_path / "cifar-10-batches-bin")
    images, labels = cifar.load_cifar10(tmp_path)
    assert labels.tolist() == [number % 10 for number in range(N_IMAGES)]
    assert (images == (np.arange(N_IMAGES)[:, None] + [0, 50, 100])[:, :, None, None]).all()
    options = Options(shots=None, data_dir=tmp_path, own={"dataset": "cifar10", "blocks": "1"})
    options = replace(options.filled(WORKLOAD.defaults), epochs=1)
    with qorch.start_run("cifar10", backend="local", db=f"sqlite:///{tmp_path}/q.db") as run:
        trained = WORKLOAD.train(run, options)
    assert trained.steps == 1
    assert np.isfinite(trained.metrics["loss"])


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("mock:ionq.qpu.forte-1,profile=tiny.toml", id="mock"),
        "aer",
        pytest.param("local:depolarizing=0.01", marks=pytest.mark.soak),
    ],
)
def test_it_takes_two_steps_elsewhere(typed: Any, data: Path, caplog: pytest.LogCaptureFixture, backend: str) -> None:
    """On a mock, on Aer and with noise, by parameter shift; a warning says that the shots are too few."""
    (typed.folder / "tiny.toml").write_text(TINY)
    shape = (*SMALL, "--shots", "100", "--gradient", "parameter-shift", "--backend", backend)
    trained = typed("train", "quantum-train", *shape, "--data-dir", str(data), "--json").document
    assert trained["rows_executed"] == 2 * (1 + 2 * 13) + 1
    assert trained["steps"] == 2
    assert "100 shots are too few" in caplog.text
