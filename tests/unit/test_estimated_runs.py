"""Runs on a backend that estimates expectation values itself: what comes of values and variances of its own."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import qorch
from qorch.errors import ObservableError, QorchError, ShotsError, UsageError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.job import JobResult, JobShape, RawResult
from qorch.model.measurement import BlockResult
from qorch.model.result import Source
from qorch.ports.clock import WallClock
from qorch.ports.store import Store
from qorch.run.resources import Progress
from qorch.stores import open_store
from qorch.testing.conformance.backend import estimates_of, gate_triple
from qorch.testing.fakes.backend import ESTIMATES, FakeBackend
from qorch.testing.fakes.store import MemoryStore

PAIR = free_circuit(
    build_gate_list(2, [gate_triple("ry", (0,), None), gate_triple("cx", (0, 1)), gate_triple("rx", (1,), None)])
)
POINTS = np.random.default_rng(3).uniform(-2, 2, (4, 2))


def pub(
    values: FloatArray = POINTS, *, observables: object = ("Z0", "Z0 Z1 + 0.5*X0"), shots: int | None = 200
) -> qorch.Pub:
    """Rows of ``pair``."""
    return qorch.Pub(PAIR, values, observables=observables, shots=shots)


def quiet(_progress: Progress) -> None:
    """Shows nothing."""


def start(backend: FakeBackend, store: Store, *, name: str = "test", **settings: object) -> qorch.Run:
    """A run on the fake."""
    chosen: dict[str, object] = {"seed": 1} | settings
    return qorch.start_run(name, backend=backend, db=store, progress=quiet, **chosen)  # type: ignore[arg-type]


def estimating(**changes: object) -> FakeBackend:
    """A fake that estimates."""
    return FakeBackend(capabilities=replace(ESTIMATES, **changes))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty database."""
    with closing(open_store(tmp_path / "runs.db", clock=WallClock())) as opened:
        yield opened


class Fixed(FakeBackend):
    """Answers with the same values and variances whatever is asked."""

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See the class."""
        blocks = []
        for block in super().read(shape, raw).blocks:
            values, variances = (np.zeros_like(part) for part in estimates_of(block))
            values[:] = np.arange(values.shape[1]) + 1.25
            variances[:] = (np.arange(values.shape[1]) + 1) * 0.04
            blocks.append(BlockResult(values=values, variances=variances))
        return JobResult(tuple(blocks))


def test_values_and_errors_are_the_backends_own() -> None:
    """Coefficients scale both, constants shift values alone, equal sums are asked for once; nothing is clipped."""
    observables = ["Z0", "3 - 2*Z0", "Z0 Z1 + X0 - 0.5", "Z0 Z1 + X0", "Z1 + 2*Z1", "1.5 + Z1 - Z1"]
    backend = Fixed(capabilities=ESTIMATES)
    with start(backend, MemoryStore(WallClock())) as run:
        [result] = run.execute(pub(POINTS[:1], observables=observables))
    [block] = backend.submitted[0].blocks
    assert block.measurement.n_values == 3
    assert result.values.tolist() == [[1.25, 3 - 2.5, 2.25 - 0.5, 2.25, 3 * 3.25, 1.5]]
    assert result.stderr[0] == pytest.approx([0.2, 0.4, np.sqrt(0.08), np.sqrt(0.08), 3 * np.sqrt(0.12), 0.0])
    assert result.shots.tolist() == [200]
    assert result.is_estimated


def test_there_are_no_counts_to_be_asked_for() -> None:
    """The error says who estimated the values; exact results say another thing."""
    with start(estimating(), MemoryStore(WallClock())) as run:
        [result] = run.execute(pub())
    for ask in (lambda: result.counts(0), lambda: result.probabilities):
        with pytest.raises(UsageError, match="estimated these expectation values itself"):
            ask()
    assert repr(result) == "PubResult(4 rows, 2 values each, 200 shots, 4 executed)"


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"observables": None}, ObservableError, "has no counts; ask for observables"),
        ({"observables": qorch.probabilities()}, ObservableError, "has no counts; ask for observables"),
        ({"observables": ["2", "3*I"]}, ObservableError, "constants"),
        ({"shots": None}, ShotsError, "fake has no exact results"),
    ],
)
def test_what_cannot_be_estimated_is_refused_before_it_is_sent(
    asked: dict[str, object], error: type[QorchError], words: str
) -> None:
    """Counts, distributions, constants and exact values, in one sentence each."""
    backend = estimating()
    with start(backend, MemoryStore(WallClock())) as run, pytest.raises(error, match=words):
        run.execute(pub(**asked))  # type: ignore[arg-type]
    assert backend.submitted == []


def test_a_resumed_run_takes_its_own_estimates_back(store: Store) -> None:
    """The very values and variances, without executing anything."""
    with start(estimating(), store) as run:
        [first] = run.execute(pub())
    again = estimating()
    with start(again, store, resume=True) as run:
        [second] = run.execute(pub())
    assert again.submitted == []
    assert (second.values == first.values).all()
    assert (second.stderr == first.stderr).all()
    assert (second.sources == Source.RESUMED).all()
    assert second.is_estimated


def test_equal_rows_are_independent_estimates() -> None:
    """Unlike exact rows they are not merged: each is executed, and has a value of its own."""
    backend = estimating()
    with start(backend, MemoryStore(WallClock()), cache="reuse") as run:
        [result] = run.execute(pub(np.repeat(POINTS[:1], 6, axis=0)))
    assert backend.n_rows == 6
    assert len(np.unique(result.values[:, 0])) > 1


def test_reuse_takes_estimates_of_the_same_shots_and_top_up_adds_none(store: Store) -> None:
    """Another run's estimates stand in for a row once each; two estimates are never pooled into one."""
    with start(estimating(), store, name="first", cache="reuse") as run:
        [first] = run.execute(pub())
    for policy in ("reuse", "top_up"):
        other = estimating()
        with start(other, store, name=policy, cache=policy, seed=2) as run:
            [same] = run.execute(pub())
        assert other.submitted == []
        assert (same.values == first.values).all()
        assert (same.sources == Source.REUSED).all()
    more = estimating()
    with start(more, store, name="more", cache="top_up", seed=3) as run:
        [larger] = run.execute(pub(shots=500))
    assert [block.samples.shots for request in more.submitted for block in request.blocks if block.samples] == [500]
    assert [block.samples.offset for request in more.submitted for block in request.blocks if block.samples] == [0]
    assert (larger.sources == Source.EXECUTED).all()
    assert (larger.shots == 500).all()


def test_other_sums_are_other_rows(store: Store) -> None:
    """An estimate of one sum says nothing about another, of equal strings too."""
    with start(estimating(), store, name="first", cache="reuse") as run:
        run.execute(pub(observables=["Z0 + Z1"]))
    other = estimating()
    with start(other, store, name="second", cache="reuse") as run:
        run.execute(pub(observables=["Z0 - Z1"]))
    assert other.n_rows == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, s: (np.where(v == v.max(), np.nan, v), s), "one of its values is not finite"),
        (lambda v, s: (v, np.where(s == s.max(), np.inf, s)), "one of its variances is not finite"),
        (lambda v, s: (v, -s), "a variance is negative"),
        (lambda v, s: (v[:, :1], s), "its values have not the shape"),
        (lambda v, s: (v, s[1:]), "its variances have not the shape"),
        (lambda v, s: (v, None), "its variances have not the shape"),
    ],
)
def test_estimates_that_cannot_be_are_not_believed(change: object, words: str) -> None:
    """Not finite, negative variances, other rows or sums: the job fails, and nothing of it is stored."""

    class Spoiled(FakeBackend):
        def read(self, shape: JobShape, raw: RawResult) -> JobResult:
            parts = (change(*estimates_of(block)) for block in super().read(shape, raw).blocks)  # type: ignore[operator]
            return JobResult(tuple(BlockResult(values=values, variances=variances) for values, variances in parts))

    store = MemoryStore(WallClock())
    with pytest.raises(QorchError, match=words), start(Spoiled(capabilities=ESTIMATES), store) as run:
        run.execute(pub())
    assert store.cache_statistics().blocks == 0


def test_the_error_of_a_gradient_is_that_of_its_estimates() -> None:
    """Over 200 repetitions the derivatives spread as their standard errors say, and their mean is the true one.

    The seed is fixed; the bounds are five standard deviations of what is compared.
    """
    repetitions = 200
    asked = pub(np.repeat(POINTS[:1], repetitions, axis=0), observables=["Z0 Z1 + 0.5*X0", "Y1"], shots=100)
    with start(estimating(), MemoryStore(WallClock()), seed=11) as run:
        measured = run.gradient(asked)
    with start(FakeBackend(), MemoryStore(WallClock())) as run:
        exact = run.gradient(pub(POINTS[:1], observables=["Z0 Z1 + 0.5*X0", "Y1"], shots=None)).values[0]
    variances = (measured.stderr**2).mean(axis=0)
    has_noise = variances > 1e-12
    errors = (measured.values.mean(axis=0) - exact)[has_noise] / np.sqrt(variances[has_noise] / repetitions)
    ratios = measured.values.var(axis=0, ddof=1)[has_noise] / variances[has_noise]
    assert has_noise.sum() >= 3
    assert np.abs(errors).max() < 5.0
    assert np.abs(ratios - 1.0).max() < 5.0 * np.sqrt(2 / (repetitions - 1))


def test_a_layer_trains_on_estimates() -> None:
    """Forward and backward pass give finite numbers of the usual shapes."""
    names = PAIR.parameters
    layer = qorch.QuantumLayer(PAIR, inputs=names[:1], weights=names[1:], observables=["Z0", "X0"], shots=100)
    with start(estimating(), MemoryStore(WallClock())):
        found = layer(torch.tensor([[0.3], [1.1]]))
        found.sum().backward()
    assert found.shape == (2, 2)
    assert layer.weights.grad is not None
    assert torch.isfinite(layer.weights.grad).all()
