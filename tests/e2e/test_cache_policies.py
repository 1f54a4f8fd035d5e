"""The four cache policies through the public API, on the real simulator and the real store."""

from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit

import qorch
from qorch.model.result import Source

SHOTS = 512


def entangled() -> QuantumCircuit:
    """Three qubits, four parameters, every outcome possible."""
    angles = ParameterVector("a", 4)
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.ry(angles[qubit], qubit)
    circuit.cx(0, 1)
    circuit.crx(angles[3], 1, 2)
    return circuit


def values(rows: int, seed: int = 0) -> np.ndarray:
    """Random angles for ``entangled``."""
    return np.random.default_rng(seed).uniform(-3, 3, (rows, 4))


def execute(
    db: Path,
    *pubs: qorch.Pub,
    cache: str = "resume",
    seed: int = 1,
    backend: str = "local",
    calls: int = 1,
) -> tuple[list[qorch.PubResult], int]:
    """The results of the last of some equal calls in a run of their own, and the rows executed."""
    with qorch.start_run("test", backend=backend, cache=cache, seed=seed, db=str(db)) as run:
        for _ in range(calls):
            results = run.execute(pubs)
        return results, run.totals.rows_executed


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of this test's own; runs on `aer` start one worker each, as that takes longer than their work."""
    monkeypatch.setenv("QORCH_WORKERS", "1")
    return tmp_path / "runs.db"


def test_reuse_executes_nothing_twice(db: Path) -> None:
    """The same rows again under `reuse` execute nothing, give the same values, and say where they are from."""
    pub = qorch.Pub(entangled(), values(20), observables=["Z0 Z1", "X0"], shots=SHOTS)
    (first,), executed = execute(db, pub)
    (second,), again = execute(db, pub, cache="reuse")
    assert (executed, again) == (40, 0)
    assert (first.values == second.values).all()
    assert (second.sources == Source.REUSED).all()
    assert first.counts(3) == second.counts(3)


def test_resume_and_off_take_new_samples(db: Path) -> None:
    """Another run under `resume` or `off` never takes an earlier run's samples; with another seed they differ."""
    pub = qorch.Pub(entangled(), values(20), observables="Z0", shots=SHOTS)
    (first,), _ = execute(db, pub)
    for policy in ("resume", "off"):
        (other,), executed = execute(db, pub, cache=policy, seed=2)
        assert executed == 20
        assert (first.values != other.values).any()


def test_one_seed_is_bit_equal(db: Path, tmp_path: Path) -> None:
    """Two runs with one seed on two databases give the same counts to the bit."""
    pub = qorch.Pub(entangled(), values(300), observables="Z0", shots=SHOTS)
    (first,), _ = execute(db, pub)
    (second,), _ = execute(tmp_path / "other.db", pub)
    assert [first.counts(row) for row in range(300)] == [second.counts(row) for row in range(300)]


@pytest.mark.parametrize("backend", ["aer", "local"])
def test_packing_changes_no_bit(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker or three, the rows in other jobs: the same counts."""
    pub = qorch.Pub(entangled(), values(500), observables="Z0", shots=64)
    counts = []
    for workers in ("1", "3"):
        monkeypatch.setenv("QORCH_WORKERS", workers)
        (result,), _ = execute(tmp_path / f"{workers}.db", pub, backend=backend)
        counts.append(result.samples[0])
    assert (counts[0].outcomes == counts[1].outcomes).all()
    assert (counts[0].counts == counts[1].counts).all()


def test_occurrences_are_independent_samples(db: Path) -> None:
    """A row that occurs many times in one batch gets as many samples, all different; `reuse` gives each back."""
    row = values(1)
    pub = qorch.Pub(entangled(), np.repeat(row, 50, axis=0), observables="Z0", shots=SHOTS)
    (first,), executed = execute(db, pub)
    assert executed == 50
    samples = [tuple(sorted(first.counts(index).items())) for index in range(50)]
    assert len(set(samples)) == 50
    spread = first.values[:, 0].std(ddof=1)
    assert 0.6 < spread / first.stderr.mean() < 1.5
    (second,), again = execute(db, pub, cache="reuse")
    assert again == 0
    assert (first.values == second.values).all()
    more = qorch.Pub(entangled(), np.repeat(row, 60, axis=0), observables="Z0", shots=SHOTS)
    (third,), missing = execute(db, more, cache="reuse", seed=5)
    assert missing == 10
    assert (third.values[:50] == first.values).all()


def test_equal_seeds_never_pass_for_two_samples(db: Path) -> None:
    """Two runs with one seed stored the same bits twice: as occurrences of one row they count once."""
    pub = qorch.Pub(entangled(), values(1), observables="Z0", shots=SHOTS)
    execute(db, pub, seed=1)
    execute(db, pub, seed=1)
    twice = qorch.Pub(entangled(), np.repeat(values(1), 2, axis=0), observables="Z0", shots=SHOTS)
    (result,), executed = execute(db, twice, cache="reuse", seed=9)
    assert executed == 1
    assert result.counts(0) != result.counts(1)


@pytest.mark.parametrize("backend", ["aer", "local"])
def test_top_up_buys_only_the_missing_shots(backend: str, db: Path) -> None:
    """512 shots topped up to 1,024 take 512 new ones, which continue the stream: the same as 1,024 at once."""
    pub = qorch.Pub(entangled(), values(30), observables="Z0", shots=512)
    (half,), _ = execute(db, pub, backend=backend)
    (full,), executed = execute(db, pub.with_shots(1024), cache="top_up", seed=7, backend=backend)
    assert executed == 30
    assert (full.shots == 1024).all()
    assert (full.sources == Source.TOPPED_UP).all()
    (at_once,), _ = execute(db.with_name("fresh.db"), pub.with_shots(1024), backend=backend)
    assert [full.counts(row) for row in range(30)] == [at_once.counts(row) for row in range(30)]
    for row in range(30):
        assert all(full.counts(row).get(bits, 0) >= count for bits, count in half.counts(row).items())
    (enough,), none = execute(db, pub.with_shots(1024), cache="top_up", seed=8, backend=backend)
    assert none == 0
    assert (enough.values == full.values).all()
    (reused,), none = execute(db, pub.with_shots(1024), cache="reuse", seed=8, backend=backend)
    assert none == 0
    assert (reused.values == full.values).all()


def test_topped_up_shots_are_uncorrelated(db: Path) -> None:
    """The errors of the first 512 shots and of the 512 that top them up are uncorrelated over 2,000 rows."""
    rows = values(2000, seed=3)
    pub = qorch.Pub(entangled(), rows, observables="Z0", shots=512)
    (first,), _ = execute(db, pub)
    (pooled,), _ = execute(db, pub.with_shots(1024), cache="top_up")
    (exact,), _ = execute(db, pub.with_shots(None))
    second = 2 * pooled.values - first.values
    errors = np.stack([(first.values - exact.values)[:, 0], (second - exact.values)[:, 0]])
    assert abs(np.corrcoef(errors)[0, 1]) < 4 / np.sqrt(2000)
    ratio = errors[1].std() / errors[0].std()
    assert 0.9 < ratio < 1.1


def test_steps_do_not_repeat_noise(db: Path) -> None:
    """The same rows in two steps of one run have uncorrelated errors."""
    pub = qorch.Pub(entangled(), values(2000, seed=4), observables="Z0", shots=256)
    with qorch.start_run("steps", backend="local", seed=1, db=str(db)) as run:
        results = []
        for number in range(2):
            with run.step(number):
                results.append(run.execute(pub)[0].values[:, 0])
        exact = run.execute(pub.with_shots(None))[0].values[:, 0]
    correlation = np.corrcoef(results[0] - exact, results[1] - exact)[0, 1]
    assert abs(correlation) < 4 / np.sqrt(2000)


def test_what_must_never_share_a_row(db: Path) -> None:
    """rx(0), rx(π), angles one ulp apart, another circuit, other noise, other shots, another basis: no shared row."""
    angle = Parameter("t")
    one, other = QuantumCircuit(1), QuantumCircuit(1)
    one.rx(angle, 0)
    other.ry(angle, 0)
    points = np.array([[0.0], [np.pi], [np.nextafter(np.pi, 4.0)], [np.nextafter(0.0, 1.0)]])
    pub = qorch.Pub(one, points, observables="Z0", shots=100)
    _, executed = execute(db, pub, cache="reuse")
    assert executed == 4
    assert execute(db, qorch.Pub(other, points, observables="Z0", shots=100), cache="reuse")[1] == 4
    assert execute(db, pub.with_shots(101), cache="reuse")[1] == 4
    assert execute(db, qorch.Pub(one, points, observables="X0", shots=100), cache="reuse")[1] == 4
    assert execute(db, pub, cache="reuse")[1] == 0
    assert execute(db, pub, cache="reuse", backend="local:depolarizing=0.01")[1] == 4


def test_exact_results_are_merged_and_reused(db: Path) -> None:
    """Equal exact rows are computed once, in one batch, in one run, and in later ones."""
    pub = qorch.Pub(entangled(), np.repeat(values(3), 5, axis=0), observables="Z0 Z1", shots=None)
    (first,), executed = execute(db, pub, calls=2)
    assert executed == 3
    (second,), again = execute(db, pub)
    assert again == 0
    assert (first.values == second.values).all()
    assert (first.stderr == 0).all()
    assert execute(db, pub, cache="off")[1] == 15


def test_other_observables_use_the_same_samples(db: Path) -> None:
    """What is computed from the outcomes does not matter to `reuse`: the outcomes are the same."""
    execute(db, qorch.Pub(entangled(), values(4), observables="Z0", shots=SHOTS))
    again = qorch.Pub(entangled(), values(4), observables=["Z1 Z2", "Z0"], shots=SHOTS)
    assert execute(db, again, cache="reuse")[1] == 0
    full = qorch.Pub(entangled(), values(4), observables=qorch.probabilities(), shots=SHOTS)
    assert execute(db, full, cache="reuse")[1] == 0
