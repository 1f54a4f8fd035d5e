"""`qorch train`: its document, reuse of stored results, and going on with a run."""

import shlex
import sys
from typing import Any

import pytest

KEYS = {
    *("run", "workload", "backend", "seed", "steps", "metrics", "weights_sha256", "rows_executed"),
    *("rows_from_cache", "jobs", "wall_seconds", "spend", "phases", "jobs_by_state", "latency"),
}
SEEDS_AND_SHOTS = ((), ("--seed", "7"), ("--shots=exact",))
LOOP = """
import qorch
from qiskit.circuit import Parameter, QuantumCircuit
from qorch.testing.fakes.backend import FakeBackend

circuit = QuantumCircuit(1)
circuit.ry(Parameter("a"), 0)
with qorch.start_run("loop", backend=FakeBackend()) as run:
    for number in run.steps(range(5)):
        run.execute([qorch.Pub(circuit, [[0.1 * number]], observables=["Z0"], shots=10)])
        run.log(loss=1.0 / (1 + number))
        print("step", number, flush=True)
"""


def soak(value: str) -> Any:
    """A value that `make soak` tries."""
    return pytest.param(value, marks=pytest.mark.soak)


def test_training_twice_with_a_seed_is_bit_equal_and_reuse_executes_nothing(qorch: Any) -> None:
    """The same seed gives the same weights, and with --cache reuse without executing a circuit."""
    first = qorch("train", "digits", *qorch.small, "--json")
    assert first.code == 0, first.err
    assert first.document.keys() >= KEYS
    assert first.document["steps"] == 2
    assert {"loss", "test_accuracy"} <= first.document["metrics"].keys()
    assert "step 2/2" in first.err
    again = qorch.run_afresh("train", "digits", *qorch.small, "--cache", "reuse", "--json").document
    assert again["weights_sha256"] == first.document["weights_sha256"]
    assert again["metrics"] == first.document["metrics"]
    assert again["rows_executed"] == 0
    assert again["rows_from_cache"] == first.document["rows_executed"]
    assert "Nothing was executed" in qorch("report", "latest").out


def test_another_seed_and_exact_values_train_otherwise(typed: Any) -> None:
    """Seeds and shots matter: the weights differ."""
    runs = [typed("train", "digits", *typed.small, *more, "--json").document for more in SEEDS_AND_SHOTS]
    assert len({run["weights_sha256"] for run in runs}) == 3
    assert [run["seed"] for run in runs] == [0, 7, 0]


def test_a_large_seed_is_a_seed(typed: Any) -> None:
    """scikit-learn takes none above 2^32."""
    outcome = typed("train", "digits", *typed.small, "--seed", str(2**32), "--json")
    assert outcome.document["seed"] == 2**32


def test_a_training_outlives_a_pipe_that_is_closed(typed: Any) -> None:
    """Whoever reads its first line and goes away does not end it: the run is done, and the exit code says the rest."""
    process = typed.start("train", "digits", *typed.small, "--shots", "10")
    assert process.stderr.readline()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=100) == 1
    assert [run["state"] for run in typed("runs", "--json").document["runs"]] == ["done"]


@pytest.mark.soak
@pytest.mark.parametrize("ends", ["2>&1 | head -1", "2>/dev/full", "2>&-", ">&-", "<&- >&- 2>&-"])
def test_a_training_outlives_who_watches_it(typed: Any, ends: str) -> None:
    """Streams that are not read, cannot be written, or are not there: the run is done."""
    options = " ".join(typed.small)
    outcome = typed.run_shell(f"{{ {typed.program} train digits {options} --shots 10; echo $? >code; }} {ends}")
    assert "Traceback" not in outcome.err
    assert (typed.folder / "code").read_text() == ("1\n" if "|" in ends else "0\n")
    assert [run["state"] for run in typed("runs", "--json").document["runs"]] == ["done"]


def test_a_command_needs_no_streams(typed: Any) -> None:
    """It ends well where none of them is there."""
    outcome = typed.run_shell(f"{{ {typed.program} runs; echo $? >code; }} <&- >&- 2>&-")
    assert (outcome.out, outcome.err) == ("", "")
    assert (typed.folder / "code").read_text() == "0\n"


@pytest.mark.parametrize("ends", ["2>/dev/full", "<&- >&- 2>&-", *map(soak, ("2>&-", ">&-"))])
def test_a_users_loop_outlives_who_watches_it(typed: Any, ends: str) -> None:
    """The same with a program that loads less."""
    (typed.folder / "loop.py").write_text(LOOP)
    outcome = typed.run_shell(f"{{ {shlex.quote(sys.executable)} loop.py; echo $? >code; }} {ends}")
    assert "Traceback" not in outcome.err
    assert (typed.folder / "code").read_text() == "0\n"
    assert [run["state"] for run in typed("runs", "--json").document["runs"]] == ["done"]


def test_letters_that_a_stream_cannot_write_are_replaced(trained: Any) -> None:
    """The report has a middle dot."""
    outcome = trained.run_shell(f"PYTHONIOENCODING=ascii {trained.program} report latest")
    assert outcome.code == 0, outcome.err
    assert " ? " in outcome.out


def test_own_options_reach_the_workload_and_come_back_with_resume(typed: Any) -> None:
    """--classes is stored with the run; resuming a run that is done prints its report and trains nothing."""
    done = typed("train", "digits", *typed.small, "--classes", "1,7", "--lr=0.1", "--name", "ones", "--json").document
    settings = typed("show", "ones", "--json").document["settings"]
    assert settings["own"] == {"classes": "1,7", "lr": "0.1"}
    resumed = typed("train", "digits", "--resume", "ones", "--json")
    assert resumed.code == 0
    assert resumed.document == typed("report", done["run"], "--json").document
    assert "complete already" in resumed.err


def test_a_resumed_run_refuses_other_settings(trained: Any, typed: Any) -> None:
    """The line names the setting as it was and as it is given now."""
    for option, before, now in (("--batch-size", "16", "8"), ("--seed", "0", "3"), ("--classes", "3,6", "3,5")):
        outcome = typed("train", "digits", "--db", str(trained.database), "--resume", option, now)
        assert outcome.code == 2
        assert f"{option} {before}" in outcome.error
        assert f"{option} {now}" in outcome.error
    assert trained("train", "digits", "--resume", "digits", "--epochs", "1", "--limit", "40").code == 0


def test_more_epochs_train_longer(typed: Any) -> None:
    """`--resume --epochs 2` of a run of one epoch: the weights are those of two epochs, and it stays a run of two."""
    typed("train", "digits", *typed.small, "--name", "longer")
    longer = typed("train", "digits", "--resume", "longer", "--epochs", "2", "--json")
    assert longer.code == 0, longer.err
    whole = typed("train", "digits", *typed.small, "--epochs", "2", "--json").document
    assert longer.document["weights_sha256"] == whole["weights_sha256"]
    assert longer.document["steps"] == whole["steps"] == 4
    assert typed("show", "longer", "--json").document["settings"]["epochs"] == 2
    assert "trained longer, not shorter" in typed("train", "digits", "--resume", "longer", "--epochs", "1").error


def test_a_long_name_can_be_resumed_by_its_id(typed: Any) -> None:
    """The id of a run is longer than its name, and still names it."""
    run = typed("train", "digits", *typed.small, "--name", "n" * 64, "--json").document["run"]
    assert len(run) > 64
    assert typed("train", "digits", "--resume", run, "--json").document["run"] == run


def test_a_run_of_a_program_is_not_resumed_by_the_command_line(typed: Any) -> None:
    """A run that start_run made has no settings to continue it with."""
    code = 'import qorch\nwith qorch.start_run("mine", backend="aer") as run:\n    pass\n'
    assert typed.run_python(code).code == 0
    outcome = typed("train", "digits", "--resume", "mine")
    assert outcome.code == 2
    assert "mine" in outcome.error
