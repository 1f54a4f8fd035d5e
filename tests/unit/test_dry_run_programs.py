"""Dry runs of programs: what is replaced, several runs, threads, and what is recorded of it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qorch
from qorch import wiring
from qorch.config import REHEARSAL
from qorch.dry_run.program import Replacements, SimulatedTraining, rehearsing, simulate_script
from qorch.dry_run.recorder import with_shots
from qorch.errors import QorchError
from qorch.model.money import parse_money
from qorch.ports.progress import Progress

HEAD = """
from qiskit.circuit import Parameter, QuantumCircuit
import qorch
circuit = QuantumCircuit(1)
circuit.ry(Parameter("a"), 0)
def pub(*values, shots=10):
    return qorch.Pub(circuit, {"a": values}, observables=["Z0"], shots=shots)
"""
Simulate = Callable[..., SimulatedTraining]


@pytest.fixture
def simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulate:
    """Runs a program as a dry run, in which a step takes 5 s to compute."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def simulate_code(
        code: str, mock: str = "braket:garnet,rows=2", budget: str | None = None, compute: float | None = 5.0
    ) -> SimulatedTraining:
        script = tmp_path / "program.py"
        script.write_text(HEAD + code)
        use = Replacements(mock, compute, None if budget is None else parse_money(budget))
        folder = tmp_path / "thrown-away"
        folder.mkdir(exist_ok=True)
        with rehearsing(folder):
            return simulate_script(script, [], use, folder=folder)

    return simulate_code


def test_everything_is_replaced(simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backend, database and budget of the program, and the budgets of the file; its progress goes on."""
    config = tmp_path / "config.toml"
    config.write_text('[[budgets]]\nname = "mine"\nlimit = "0.01 USD"\nper = "day"\n')
    monkeypatch.setenv("QORCH_CONFIG", str(config))
    monkeypatch.setenv("QORCH_OBSERVERS", "log:log.jsonl")
    training = simulate(
        """
from qorch.model.budget import Budget
from qorch.model.money import parse_money
shared = Budget(limit=parse_money("0.01 USD"), name="of several", backend="mock")
steps = []
with qorch.start_run(
    "mine", backend="nonsense", shared_budgets=[shared], db="/nowhere/x.db", budget="2 USD", resume=True, seed=7,
    progress=lambda now: steps.append(now.step), observers=["no such"], cache="resume",
) as run:
    for step in range(3):
        with run.step(step):
            [result] = run.execute(pub(1.0, 2.0, 3.0))
            assert sum(result.counts(0).values()) == 10
    assert run.backend.name == "mock:braket.garnet,rows=2"
assert steps == [0, 1, 2]
"""
    )
    [run] = training.runs
    assert (run.report.steps, run.report.jobs, run.report.executions) == (3, 6, 9)
    assert run.report.spend == parse_money("1.9305 USD")
    recording = run.recording
    assert (recording.run, recording.seed, str(recording.budget)) == ("mine", 7, "2.00 USD")
    assert [call.after for call in recording.calls] == [-1, 0, 1]
    assert [call.compute_seconds for call in recording.calls] == [0, 5, 5]
    assert recording.compute_seconds == 5
    assert training.wall_seconds == pytest.approx(run.report.wall_seconds)
    assert training.wall_seconds > 15
    assert wiring.start_run is qorch.start_run
    assert not (tmp_path / "log.jsonl").exists()


def test_only_the_first_row_is_kept(simulate: Simulate) -> None:
    """Values take no memory where they change nothing; where equal rows are looked for, they are kept."""
    code = """
with qorch.start_run("one", backend="local", seed=1{cache}) as run:
    run.execute([pub(1.0, 2.0, 3.0)])
"""
    values = []
    for cache in ("", ", cache='reuse'"):
        [run] = simulate(code.format(cache=cache)).runs
        [call] = run.recording.calls
        values.append(call.call.batch.pubs[0].parameter_values)
    assert values[0].tolist() == [[1], [1], [1]]
    kept = values[0]
    while kept.base is not None:
        kept = kept.base
    assert kept.nbytes == 8, "the other values are not kept alive"
    assert values[1].tolist() == [[1], [2], [3]]
    changed = with_shots(run.recording, 77)
    assert changed.calls[0].call.batch.pubs[0].shots == 77


def test_runs_in_turn_and_at_once(simulate: Simulate) -> None:
    """A run that is resumed goes on, two at once share provider and time, and what is left open is closed."""
    training = simulate(
        """
for _ in range(2):
    with qorch.start_run("one", backend="local", seed=1, resume=True) as run:
        run.execute(pub(1.0))
left, right = (qorch.start_run(name, backend="local", seed=2) for name in ("left", "right"))
calls = [run.submit(pub(1.0, 2.0, 3.0, 4.0)) for run in (left, right)]
assert all(call.result() for call in calls)
with left.step(0):
    left.execute(pub(1.0))
"""
    )
    assert [run.report.run.name for run in training.runs] == ["one", "one", "left", "right"]
    assert training.runs[0].report.sessions == 2
    assert [len(run.recording.calls) for run in training.runs] == [1, 0, 2, 1], "what is stored is not bought again"
    _, left, right = training.reports
    assert max(left.wall_seconds, right.wall_seconds) < training.wall_seconds
    assert training.wall_seconds < sum(report.wall_seconds for report in training.reports)


def test_threads_and_event_loops(simulate: Simulate) -> None:
    """Calls of several threads, and awaited ones, overlap; the program waits for them in its own ways."""
    training = simulate(
        """
import asyncio, concurrent.futures, threading
with qorch.start_run("mine", backend="local", seed=3) as run:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(lambda value: run.execute(pub(value)), (1.0, 2.0, 3.0, 4.0)))) == 4
    async def train():
        await asyncio.gather(*(run.aexecute(pub(value)) for value in (1.0, 2.0, 3.0)))
        return await run.aexecute(pub(1.0))
    assert asyncio.run(train())
    done = threading.Event()
    threading.Thread(target=lambda: (run.execute(pub(5.0)), done.set())).start()
    assert done.wait(60)
    assert run.report().wall_seconds > 0
"""
    )
    [run] = training.runs
    assert run.report.executions == 9
    after = [call.after for call in run.recording.calls]
    assert after[4:7] == [after[4]] * 3, "three that are awaited together begin together"
    assert np.all(np.array(after) < np.arange(9))


def test_errors_and_cancelled_calls_are_recorded(simulate: Simulate) -> None:
    """With which a program goes on: what is foretold of it is foretold of a program that does."""
    training = simulate(
        """
with qorch.start_run("mine", backend="local", seed=3) as run:
    try:
        run.execute(pub(1.0, shots=None))
    except qorch.QorchError:
        pass
    kept, dropped = run.submit(pub(1.0)), run.submit(pub(*range(20)))
    kept.result()
    assert dropped.cancel()
    run.execute(pub(2.0))
left = qorch.start_run("left", backend="local", seed=3)
left.submit(pub(3.0))
"""
    )
    mine, left = (run.recording.calls for run in training.runs)
    assert [call.is_refused for call in mine] == [True, False, False, False]
    assert [call.taken_back is not None for call in mine] == [False, False, True, False]
    assert mine[2].taken_back is not None
    assert mine[2].taken_back.after == 1
    assert [(call.is_refused, call.taken_back) for call in left] == [(False, None)], "its jobs stay at the provider"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('nothing')", "has started no run"),
        ("raise SystemExit(3)", "has ended with exit code 3, before its dry run was over"),
        ("def f():\n    return {}['x']\nf()", "has failed in line 9: KeyError: 'x'"),
        ("qorch.start_run('x', backend='local', budget='5 EUR')", "whose prices are in USD"),
        ("with qorch.start_run('x', backend='local') as run: run.execute(pub(1.0, shots=None))", "in line 8"),
    ],
)
def test_what_goes_wrong_is_one_sentence(simulate: Simulate, code: str, said: str) -> None:
    """A program that fails, starts nothing, or asks for what the mocked backend does not do."""
    with pytest.raises(QorchError, match=said):
        simulate(code)
    assert wiring.start_run is qorch.start_run


def test_what_cannot_be_mocked(simulate: Simulate) -> None:
    """What runs here anyway, and what no backend is."""
    for mock, said in (("local", "runs on this machine"), ("nonsense:x", "no backend 'nonsense'")):
        with pytest.raises(QorchError, match=said):
            simulate("", mock)


def test_an_error_at_the_provider_is_no_part_of_it(simulate: Simulate, tmp_path: Path) -> None:
    """The training comes to its end, whatever a profile says of faults, so that its calls are known."""
    shares = "\n".join(f'{name} = {{ share = 0.3, source = "a test" }}' for name in ("lost_after", "busy", "failed"))
    profile = tmp_path / "bad.toml"
    profile.write_text(f'description = "all goes wrong"\n[faults]\n{shares}\n')
    code = "with qorch.start_run('x', backend='local', seed=1) as run: run.execute([pub(float(i)) for i in range(30)])"
    training = simulate(code, f"braket:garnet,rows=1,profile={profile}")
    assert training.runs[0].report.jobs_by_state == {"done": 30}


def test_the_environment_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables that were set, and without the others."""
    monkeypatch.setenv("QORCH_DB", "mine.db")
    monkeypatch.delenv(REHEARSAL, raising=False)
    with rehearsing(tmp_path):
        assert os.environ[REHEARSAL] == "1"
    assert os.environ["QORCH_DB"] == "mine.db"
    assert REHEARSAL not in os.environ


def test_compute_is_measured(simulate: Simulate) -> None:
    """Unless it is given: the loop's own time between calls, and qorch's within them."""
    training = simulate(
        """
with qorch.start_run("x", backend="local", seed=1) as run:
    for step in range(2):
        with run.step(step):
            run.execute(pub(1.0))
""",
        compute=None,
    )
    calls = training.runs[0].recording.calls
    assert all(call.compute_seconds > 0 for call in calls)
    assert all(call.own_seconds > 0 for call in calls)


def test_progress_is_shown_once_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the command, too, with virtual times."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))
    shown: list[Progress] = []
    script = tmp_path / "program.py"
    script.write_text(
        HEAD + "with qorch.start_run('x', backend='local') as run:\n"
        "    for step in range(2):\n"
        "        with run.step(step): run.execute(pub(1.0))\n"
    )
    with rehearsing(tmp_path):
        simulate_script(script, [], Replacements("braket:garnet", 1.0, show=shown.append), folder=tmp_path)
    assert [each.step for each in shown] == [0, 1]
    assert shown[1].elapsed_seconds > shown[0].elapsed_seconds > 0
