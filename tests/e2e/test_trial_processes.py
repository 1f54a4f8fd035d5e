"""Trials in processes of their own: ended early, stopped, killed, and shared by two sweeps."""

import json
from typing import Any

PROGRAM = '''
import json, os, signal, sys
import qorch
from qiskit.circuit import QuantumCircuit
from qorch.sweeps.trial import Trial
from qorch.sweeps.trial_process import TrialTerms
from qorch.sweeps.trials import TrialWatcher, run_trials

def work(trial, terms):
    """One step; then the trial waits, ends its process, or is done."""
    circuit = QuantumCircuit(1)
    circuit.ry(float(trial.options["angle"]), 0)
    with qorch.start_run(trial.run_name, backend="local", db=terms.db, seed=1, cache="reuse", progress="off") as run:
        for _ in run.steps(range(1)):
            run.log(loss=run.execute([qorch.Pub(circuit, observables=["Z0"])])[0].values[0, 0])
        if trial.options.get("then") == "wait":
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.pause()
        if trial.options.get("then") == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.options.get("then") == "fail":
            raise ValueError("it was\\nasked for")

def trial(**options):
    return Trial("s", "mine.py", options=options)

def states(outcomes):
    return [(outcome.trial.options["angle"], outcome.state, outcome.problem, outcome.was_done) for outcome in outcomes]

def has_logged(trial, store):
    run = store.find_run(trial.run_name)
    return trial.options.get("then") == "wait" and run is not None and bool(store.metrics(run.run_id))

terms = TrialTerms(db=os.environ["QORCH_DB"])
'''

ALL_ENDS = (
    PROGRAM
    + """
trials = [trial(angle="1"), trial(angle="2", then="wait"), trial(angle="3", then="fail"), trial(angle="4", then="die")]
first = run_trials(trials, terms, work=work, parallel=2, watcher=TrialWatcher(ends_early=has_logged))
second = run_trials(trials[:2], terms, work=work, parallel=1)
print(json.dumps([states(first), states(second)]))
"""
)


def test_each_trial_ends_in_its_own_way(qorch: Any) -> None:
    """Done, ended early for good, failed with its sentence, or killed; what is over is not run again."""
    outcome = qorch.run_python(ALL_ENDS)
    assert outcome.code == 0, outcome.err
    first, second = json.loads(outcome.out)
    assert sorted(first) == [
        ["1", "done", None, False],
        ["2", "cancelled", "it was ended early", False],
        ["3", "failed", "ValueError: it was asked for", False],
        ["4", "failed", "its process has ended (exit code -9) before the trial was over", False],
    ]
    assert second == [
        ["1", "done", None, True],
        ["2", "cancelled", "it was cancelled, which is for good", True],
    ]
    listed = {run["name"]: run["state"] for run in qorch("runs", "--json").document["runs"]}
    assert sorted(listed.values()) == ["cancelled", "done", "failed", "interrupted"]


def test_two_sweeps_share_their_trials(qorch: Any) -> None:
    """Started at once, both end with all trials done, and each trial was trained by one of them."""
    command = ("sweep", "digits", "--grid", "lr=0.05,0.1,0.5", "--limit", "40", "--epochs", "1", "--batch-size", "16",
               "--parallel", "1", "--json")  # fmt: skip
    both = [qorch.start(*command) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in both]
    documents = [json.loads(out) for out, _ in ends]
    assert [process.returncode for process in both] == [0, 0]
    assert documents[0] == documents[1]
    assert [trial["state"] for trial in documents[0]["trials"]] == ["done"] * 3
    runs = qorch("runs", "--json").document["runs"]
    assert sorted(run["sessions"] for run in runs) == [1, 1, 1]
