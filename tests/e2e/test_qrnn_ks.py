"""`qrnn-ks`: the circuits of a sequence, data, baselines, training, resuming, quoting, options that cannot be."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import qorch
from qorch.workloads import kuramoto_sivashinsky
from qorch.workloads.base import Options
from qorch.workloads.qrnn_ks import WORKLOAD, ClassicalNetwork, QuantumNetwork, count_weights, load_data, predict_loss

SMALL = ("--limit", "10", "--epochs", "1", "--batch-size", "8", "--window", "3", "--shots", "10")
STEP_ROWS = 3 * 8 * (1 + 1 + 2 * (16 + 4))
"""Forward once, and once more with the shifts by 16 weights and 4 values of the hidden state."""


def fill(**own: str) -> Options:
    """Options of twenty short sequences."""
    return Options(shots=None, limit=20, own={"window": "4", **own}).filled(WORKLOAD.defaults)


@pytest.mark.parametrize(("gradient", "rows"), [("parameter-shift", 16 * 8 * 41), ("spsa", 16 * 8 * 3)])
def test_all_shifts_of_a_sequence_leave_as_one_batch(tmp_path: Any, gradient: str, rows: int) -> None:
    """Of 16 steps and 8 sequences: none for the data, and forward circuits are all that comes before."""
    torch.manual_seed(0)
    model = QuantumNetwork(8, 2, shots=4, gradient=gradient)
    with qorch.start_run("one", backend="local", shots=4, seed=1, db=str(tmp_path / "one.db")) as run:
        executed = []
        for _ in range(2):
            loss = model(torch.zeros(16, 8, 4)).sum()
            executed.append(run.totals.rows_executed)
            loss.backward()
            executed.append(run.totals.rows_executed)
    assert np.diff([0, *executed]).tolist() == [16 * 8, rows, 16 * 8, rows]


@pytest.mark.parametrize("dimension", ["1", "2"])
def test_data_are_normalised_and_no_sequence_is_another(dimension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variance is 1, the parts have their sizes, and what follows is near, but not the same."""
    monkeypatch.setattr(kuramoto_sivashinsky, "WARM_UP_TIME", 10.0)
    data = load_data(fill(dimension=dimension, window="1"), n_components=4)
    train, tested = data.train.tensors[0], data.test
    assert (tuple(train.shape), tuple(tested.shape)) == ((16, 2, 4), (4, 2, 4))
    assert float(train.square().mean()) == pytest.approx(1.0, rel=0.05)
    assert len({tuple(row) for row in train.reshape(-1, 4).tolist()}) == 16 * 2
    assert 0.01 < data.persistence_loss < 0.9


def test_the_same_seed_gives_the_same_data() -> None:
    """Another seed gives others."""
    first, again, other = (load_data(replace(fill(), seed=seed), n_components=3).test for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_the_baseline_has_about_as_many_weights() -> None:
    """Within a tenth, for 6 to 8 qubits."""
    for qubits in (6, 7, 8):
        model = QuantumNetwork(qubits, 2, shots=None, gradient="exact")
        n_weights = count_weights(model)
        assert count_weights(ClassicalNetwork(model.n_components, n_weights=n_weights)) == pytest.approx(
            n_weights, rel=0.15
        )


def test_it_trains_as_it_is_quoted_and_goes_on(typed: Any) -> None:
    """A longer training is as good as one that was long from the start, and a quote knows its circuits."""
    quote = typed("quote", "qrnn-ks", *SMALL, "--backend", "local", "--json").document
    trained = typed("train", "qrnn-ks", *SMALL, "--json").document
    assert (quote["rows"], quote["jobs"]) == (trained["rows_executed"], trained["jobs"])
    assert trained["rows_executed"] == STEP_ROWS + 2 * 3
    metrics = {"loss", "baseline_loss", "test_loss", "baseline_test_loss", "persistence_loss"}
    assert metrics <= set(trained["metrics"])
    longer = typed("train", "qrnn-ks", "--resume", "--epochs", "2", "--json").document
    whole = typed("train", "qrnn-ks", *SMALL, "--epochs", "2", "--json").document
    assert longer["weights_sha256"] == whole["weights_sha256"] != trained["weights_sha256"]
    assert longer["metrics"] == whole["metrics"]


def test_it_learns() -> None:
    """With exact gradients its loss on a few sequences falls below that of persistence."""
    sequences = load_data(fill(), n_components=3).train.tensors[0]
    torch.manual_seed(1)
    model = QuantumNetwork(6, 2, shots=None, gradient="exact")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    persistence = float((sequences[:, 1:] - sequences[:, :-1]).square().mean())
    with qorch.QuantumLayer.eval_on("local"):
        for _ in range(30):
            loss = predict_loss(model, sequences)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert loss.item() < 0.8 * persistence


def test_spsa_trains_the_whole_model_without_gradients(typed: Any) -> None:
    """Its circuits are forward ones alone, as they were quoted, and a training that goes on is the same to the bit."""
    command = ("qrnn-ks", *SMALL, "--optimizer", "spsa")
    trained = typed("train", *command, "--json").document
    assert trained["rows_executed"] == 2 * 3 * 8 + 2 * 3
    assert typed("quote", *command, "--backend", "local", "--json").document["rows"] == trained["rows_executed"]
    longer = typed("train", "qrnn-ks", "--resume", "--epochs", "2", "--json").document
    assert longer["weights_sha256"] == typed("train", *command, "--epochs", "2", "--json").document["weights_sha256"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--qubits", "1"), "--qubits is '1'; give a whole number from 2 to 12"),
        (("--layers", "two"), "--layers is 'two'"),
        (("--optimizer", "sgd"), "--optimizer is 'sgd'; choose adam or spsa"),
        (("--window", "0"), "--window is '0'"),
        (("--dimension", "3"), "--dimension is '3'; give a whole number from 1 to 2"),
        (("--limit", "9"), "needs at least 10 sequences"),
        (("--lr", "nan"), "--lr is 'nan'"),
        (("--gradient", "none"), "there is no gradient 'none'"),
        (("--gradient", "spsa", "--shots", "exact"), "shots"),
    ],
)
def test_options_that_cannot_be_are_refused(typed: Any, options: tuple[str, ...], said: str) -> None:
    """In a training and in a quote, with one sentence, and nothing is written."""
    for command in (("train",), ("quote", "--backend", "local")):
        assert said in typed(command[0], "qrnn-ks", *command[1:], *SMALL, *options).error
    assert not typed.database.exists()
