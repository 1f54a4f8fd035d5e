"""`qorch sweep` and `qorch sweeps` as a user types them."""

import csv
import signal
import sys
from typing import Any

import pytest

from qorch_providers.emulators.ionq import start

TINY = ("--limit", "40", "--epochs", "1", "--batch-size", "16", "--shots", "exact")

LOOP = '''
"""A training of a user."""
import sys
import qorch
from qiskit.circuit import ParameterVector, QuantumCircuit

options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
angle, noise = float(options["--angle"]), float(options["--offset"])
if angle > 5:
    raise ValueError("the angle is too large")
x = ParameterVector("x", 1)
circuit = QuantumCircuit(1)
circuit.ry(x[0], 0)
with qorch.start_run("mine", backend="local", seed=1) as run:
    for _ in run.steps(range(2)):
        [result] = run.execute([qorch.Pub(circuit, {"x": [[angle]]}, observables=["Z0"])])
        run.log(loss=float(result.values[0, 0]) + noise)
'''


@pytest.fixture
def script(qorch: Any) -> str:
    """The program on the disk."""
    (qorch.folder / "loop.py").write_text(LOOP)
    return "loop.py"


def test_all_combinations_are_tried_and_the_best_is_first(qorch: Any) -> None:
    """The metrics are those of `qorch train`; the table, CSV and picture are there; no finished trial is run again."""
    command = ("sweep", "digits", "--grid", "lr=0.05,0.5", "--name", "rates", *TINY)
    outcome = qorch(*command, "--plot", "rates.png", "--csv", "rates.csv", "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    first, second = document["trials"]
    assert document["best"] == first["trial"]
    assert first["metrics"]["test_accuracy"] >= second["metrics"]["test_accuracy"]
    assert {first["options"]["lr"], second["options"]["lr"]} == {"0.05", "0.5"}
    assert sorted(line.partition(":")[0] for line in outcome.err.splitlines()) == ["trial 1 of 2", "trial 2 of 2"]
    trained = qorch("train", "digits", "--lr", "0.5", *TINY, "--json").document["metrics"]
    assert next(trial for trial in document["trials"] if trial["options"]["lr"] == "0.5")["metrics"] == trained
    assert (qorch.folder / "rates.png").read_bytes().startswith(b"\x89PNG")
    with (qorch.folder / "rates.csv").open() as file:
        assert [row["trial"] for row in csv.DictReader(file)] == [first["trial"], second["trial"]]
    again = qorch(*command, "--json")
    assert again.document == document
    assert "done before" in again.err
    shown = qorch("sweeps", "rates", "--metric", "loss").out
    assert "best loss" in shown
    assert qorch("sweeps", "--json").document == {"sweeps": [{"sweep": "rates", "trials": 2}]}


def test_a_program_is_swept_as_it_stands(qorch: Any, script: str) -> None:
    """It gets the values after its own arguments; one trial that fails is named, and ends no other."""
    command = ("sweep", script, "--grid", "angle=0:3:6", "--", "--offset", "0.5")
    outcome = qorch(*command[:4], "--json", *command[4:])
    assert outcome.code == 1
    document = outcome.document
    assert [trial["state"] for trial in document["trials"]] == ["done", "done", "failed"]
    assert [trial["options"]["angle"] for trial in document["trials"]] == ["3", "0", "6"]
    assert document["trials"][1]["metrics"]["loss"] == pytest.approx(1.5)
    assert document["direction"] == "minimize"
    problem = document["trials"][2]["problem"]
    assert problem == "loop.py has failed in line 10: ValueError: the angle is too large"
    table = qorch(*command).out
    assert f"angle=6: failed: {problem}" in table


LEFT = """
import sys
import qorch
from qiskit.circuit import QuantumCircuit

circuit = QuantumCircuit(1)
circuit.h(0)
run = qorch.start_run("left", backend="local", seed=1)
for step in run.steps(range(3)):
    run.execute([qorch.Pub(circuit, observables=["X0"])])
    if sys.argv[2] == "error" and step == 1:
        raise ValueError("in the middle")
    if sys.argv[2] == "leave":
        with run:
            sys.exit()
"""


def test_a_program_that_leaves_its_run_is_not_done(qorch: Any) -> None:
    """Neither one that fails while its run is open, nor one that ends in order before it: both are tried again."""
    (qorch.folder / "left.py").write_text(LEFT)
    outcome = qorch("sweep", "left.py", "--grid", "end=none,error,leave", "--json")
    assert outcome.code == 1
    ends = {trial["options"]["end"]: (trial["state"], trial["problem"]) for trial in outcome.document["trials"]}
    assert ends == {
        "none": ("done", None),
        "error": ("failed", "left.py has failed in line 12: ValueError: in the middle"),
        "leave": ("stopped", "its program has ended before its run was done"),
    }


def test_ctrl_c_stops_all_trials_and_says_how_to_go_on(qorch: Any) -> None:
    """The exit code is that of Ctrl-C, no process is left, and the same command finishes the sweep."""
    long = ("sweep", "digits", "--grid", "lr=0.05,0.5", "--limit", "60", "--epochs", "40", "--name", "long")
    process = qorch.start(*long)
    _wait_for_runs(qorch, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on with this sweep" in errors
    trials = qorch("sweeps", "long", "--json").document["trials"]
    assert {trial["state"] for trial in trials} <= {"stopped", "done"}


def _wait_for_runs(qorch: Any, count: int) -> None:
    """Until so many runs have begun; the test's own limit ends it."""
    while len(qorch("runs", "--json").document["runs"]) < count:
        pass


def test_one_budget_covers_all_trials(qorch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what earlier trials have spent counts, and a trial that is resumed by itself keeps to it."""
    monkeypatch.setenv("IONQ_API_KEY", "dummy")
    paid = ("--limit", "20", "--batch-size", "5", "--epochs", "1", "--shots", "10", "--backend", "ionq:qpu.forte-1")
    with start() as emulator:
        monkeypatch.setenv("IONQ_API_URL", emulator.url)
        first = qorch("sweep", "digits", "--grid", "lr=0.05", *paid, "--json").document
        cost = first["spent"]["micros"]
        assert cost > 0
        wall = ("--budget", f"{cost * 1.2 / 1e6:.6f} USD")
        outcome = qorch("sweep", "digits", "--grid", "lr=0.05,0.1,0.5", *paid, *wall, "--json")
        assert outcome.code == 3
        assert "repeat the command with a larger --budget" in outcome.err
        assert "of the sweep): qorch sweep ... --budget LARGER" in outcome.err
        assert outcome.document["spent"]["micros"] <= cost * 1.2
        states = [trial["state"] for trial in outcome.document["trials"]]
        assert states[0] == "done"
        assert set(states[1:]) <= {"stopped", "not begun"}
        stopped = next(trial for trial in outcome.document["trials"] if trial["state"] == "stopped")
        alone = qorch("train", "digits", "--resume", stopped["run"])
        assert alone.code == 3
        assert "the budget 'digits-sweep'" in alone.err


def test_a_budget_that_is_not_the_sweeps_is_not_said_to_be(qorch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the configuration file that refuses a trial ends the sweep, too: its name and file are said."""
    (qorch.folder / "config.toml").write_text('[[budgets]]\nname = "lab"\nlimit = "1 USD"\nbackend = "mock"\n')
    monkeypatch.setenv("QORCH_CONFIG", str(qorch.folder / "config.toml"))
    paid = ("--limit", "20", "--batch-size", "5", "--shots", "10", "--backend", "mock:ionq.qpu.forte-1")
    outcome = qorch("sweep", "digits", "--grid", "lr=0.1,0.2", "--parallel", "1", *paid)
    assert outcome.code == 3
    assert "raise the limit of 'lab'" in outcome.err
    assert "a budget or limit that is not the sweep's own is used up" in outcome.err


WRONG = [
    (("sweep", "digits"), "nothing is swept"),
    (("sweep", "digits", "--grid", "lr"), "names no option and its values"),
    (("sweep", "digits", "--grid", "lr="), "empty one, for lr"),
    (("sweep", "digits", "--grid", "lr=0.1,1e-1"), "the value 1e-1 of lr twice"),
    (("sweep", "digits", "--grid", "lr=0.1", "--grid", "lr=0.2"), "the grid has lr twice"),
    (("sweep", "digits", "--grid", "layers=1,2"), "digits has no option 'layers' to be swept; there are classes, lr"),
    (("sweep", "digits", "--grid", "lr=0.1,-3"), "lr=-3: --lr is '-3'; it must be a finite number above 0"),
    (("sweep", "digits", "--grid", "classes=3,6"), "classes=3: --classes is '3'"),
    (("sweep", "digits", "--grid", "epochs=1,x"), "epochs=x: --epochs is 'x'; it must be a whole number"),
    (("sweep", "digits", "--grid", "budget=1,2"), "--budget cannot be swept"),
    (("sweep", "digits", "--grid", "lr=0.1,0.2", "--lr", "0.3"), "--lr is given for all trials, and is swept, too"),
    (("sweep", "digits", "--grid", "seed=1,x"), "the seed 'x' of the grid is no whole number"),
    (("sweep", "digits", "--grid", "shots=10", "--backend", "none"), "there is no backend 'none'"),
    (("sweep", "digits", "--grid", "lr=0.1..0.2"), "say how many trials, as in --trials 20"),
    (("sweep", "digits", "--grid", "lr=0.3..0.2"), "the first must be the smaller number"),
    (("sweep", "digits", "--grid", "lr=0.1,0.2", "--sampler", "tpe"), "say how many, as in --trials 20"),
    (("sweep", "digits", "--grid", "lr=0.1,0.2", "--direction", "up"), "choose maximize or minimize"),
    (("sweep", "digits", "--grid", "lr=0.1,0.2", "--plot", "a.jpg"), "ends in .png or .svg"),
    (("sweep", "digits", "--grid", "lr=0.1,0.2", "--budget", "much"), "much"),
    (
        (
            "sweep",
            "digits",
            "--grid",
            "lr=0.1",
            "--shots",
            "9",
            "--backend",
            "mock:ionq.qpu.forte-1",
            "--budget",
            "1 EUR",
        ),
        "give the limit in USD",
    ),
    (("sweep", "digits", "--grid", "lr=0.1,0.2", "--name", "a/b"), "is not a name for a run"),
    (("sweep", "my loop.py", "--grid", "lr=0.1,0.2"), "give the sweep one with --name"),
    (("sweep", "digits", "--grid", "gradient=spsa:directions=4", "--shots", "9"), "stands in a study file: gradient ="),
    (("sweep", "digits", "--grid", f"seed={':'.join(map(str, range(101)))}"), "the grid has 101 combinations"),
    (("sweep", "none.py", "--grid", "lr=0.1,0.2"), "there is no program none.py"),
    (("sweep", "loop.py", "--grid", "lr=0.1,0.2", "--epochs", "2"), "qorch gives no --epochs"),
    (("sweep", "digits", "--study", "study.toml", "--backend", "none"), "there is no backend 'none'"),
    (("sweep", "loop.py", "--grid", "angle=1,2", "--backend", "none"), "there is no backend 'none'"),
    (("sweeps", "none"), "there is no sweep 'none'"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_is_said_before_anything_starts(typed: Any, arguments: tuple[str, ...], words: str) -> None:
    """One sentence, the exit code of wrong usage, and no database."""
    for name in ("loop.py", "my loop.py"):
        (typed.folder / name).write_text(LOOP)
    (typed.folder / "study.toml").write_text('[options]\nbackend = "local"\n[grid]\nlr = [0.1, 0.2]\n')
    outcome = typed(*arguments)
    assert outcome.code == 2
    assert words in outcome.error
    assert arguments[0] == "sweeps" or not typed.database.exists()


def test_a_plot_that_cannot_be_drawn_is_refused_before_anything_starts(
    typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of training do not end with a missing package."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = typed("sweep", "digits", "--grid", "lr=0.1,0.2", "--plot", "a.png")
    assert outcome.code == 2
    assert "pip install 'qorch[plot]'" in outcome.error
    assert not typed.database.exists()
