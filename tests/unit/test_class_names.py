"""One name, one class: a reader who meets a public class name knows which class it is."""

import ast
from collections import defaultdict
from pathlib import Path

HOUSE = Path(__file__).parents[2]
ROOTS = ("qorch", "providers/qorch_providers", "jobs_db/qorch_jobs_db")

ALLOWED = {
    "Angle": "an angle of a gate on IonQ's wire; an angle of a compiled operation of `local`",
    "Distribution": "what is asked for, all probabilities; what IonQ answered",
    "Engine": "executes the calls of a run; computes states in the local backend",
    "Failure": "an error from an Aer worker; a failed job of the emulator",
    "Fault": "what the fake provider injects; what an emulator injects",
    "Found": "what a store has for a call; a job, or a circuit of one, of the emulator",
    "Latency": "a line of the report; a delay of an emulator",
    "Noise": "a model for Aer; the two rates of the local backend",
    "NoisyProgram": "a circuit with noise, as Aer takes it; as the local backend does",
    "Options": "of a workload; of each backend, in its own module",
    "Program": "a formula of an angle; the workload of a simulated world; a compiled circuit of `local`",
    "Rate": "a measured speed; a limit of submissions",
    "Settings": "of `qorch train`; of IonQ's emulator",
    "Shape": "a circuit and its rows in `qorch bench`; a gate list without angles in the emulator",
    "Submission": "a job that the engine sends; a job that the emulator gets",
    "Turn": "a rotation of `local`; a turn to write to the database",
    "Workload": "what `qorch train` trains; the circuits of a job in the emulator",
}
"""Names that two packages have for different things, each in its own; the list may only become shorter."""


def public_classes() -> dict[str, list[str]]:
    """Every public class on the top level of a module, with the modules that define it."""
    found: dict[str, list[str]] = defaultdict(list)
    for root in ROOTS:
        for path in sorted((HOUSE / root).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(str(path.relative_to(HOUSE)))
    return found


def test_public_class_names_are_unique() -> None:
    """Across all three packages, but for the repeats that are listed, each of which is one still."""
    repeated = {name: modules for name, modules in public_classes().items() if len(modules) > 1}
    assert {name: modules for name, modules in repeated.items() if name not in ALLOWED} == {}
    assert sorted(ALLOWED) == sorted(repeated)


def test_no_package_repeats_a_class_name_of_its_own() -> None:
    """Two classes of one name are never in the same package: `qorch.engine`, one provider, the store."""
    for name, modules in public_classes().items():
        packages = [str(Path(module).parent) for module in modules]
        assert len(set(packages)) == len(packages), (name, modules)
