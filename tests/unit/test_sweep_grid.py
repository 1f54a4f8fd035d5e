"""How grids and study files are read, and what a trial's run is called."""

from pathlib import Path

import pytest

from qorch.errors import UsageError
from qorch.model.money import parse_money
from qorch.sweeps.grid import GridRange, combinations, read_grid
from qorch.sweeps.study import read_study
from qorch.sweeps.trial import Trial, sweep_budget, sweep_of


@pytest.mark.parametrize(
    ("texts", "grid"),
    [
        (["lr=0.01,0.05", "layers=1,2"], {"lr": ("0.01", "0.05"), "layers": ("1", "2")}),
        (["lr=0.01:0.05,layers=1:2"], {"lr": ("0.01", "0.05"), "layers": ("1", "2")}),
        (["lr=0.01,0.05,layers=1,2"], {"lr": ("0.01", "0.05"), "layers": ("1", "2")}),
        (["classes=3,6:1,7,batch_size=8"], {"classes": ("3,6", "1,7"), "batch_size": ("8",)}),
        (["--lr=1e-3..0.1:log"], {"lr": GridRange(0.001, 0.1, is_whole=False, is_log=True)}),
        (["layers=1..4"], {"layers": GridRange(1, 4, is_whole=True)}),
    ],
)
def test_every_spelling_has_one_meaning(texts: list[str], grid: dict[str, object]) -> None:
    """Commas or colons divide values, and a name with an equals sign begins the next option."""
    assert read_grid(texts) == grid


def test_all_combinations_are_there_in_order() -> None:
    """The last option changes fastest."""
    values = [tuple(each.values()) for each in combinations(read_grid(["a=1,2", "b=3,4"]))]
    assert values == [("1", "3"), ("1", "4"), ("2", "3"), ("2", "4")]


def test_a_study_file_says_the_same(tmp_path: Path) -> None:
    """Lists are values, tables are ranges, numbers keep their digits."""
    file = tmp_path / "study.toml"
    file.write_text(
        'metric = "loss"\ntrials = 7\nbudget = "5 USD"\n[options]\nepochs = 2\n'
        '[grid]\nclasses = ["3,6", "1,7"]\nlr = {low = 0.001, high = 0.10, log = true}\nlayers = [1, 2]\n'
    )
    study = read_study(file)
    assert (study.metric, study.trials, study.budget, study.options) == ("loss", 7, "5 USD", {"epochs": "2"})
    assert study.grid == read_grid(["classes=3,6:1,7", "lr=0.001..0.1:log", "layers=1,2"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[grid]\nlr = [0.1, 0.10]\n", "line 2: the grid has the value 0.10 of lr twice"),
        ("[grid]\nlr = []\n", "line 2: the grid has no value"),
        ("[grid]\nlr = {low = 1}\n", "line 2: a range is written lr = {low = 0.001"),
        ("grids = 1\n", "line 1: 'grids' is not known here"),
        ("[grid\n", "line 1"),
    ],
)
def test_what_is_wrong_in_a_study_has_its_line(tmp_path: Path, text: str, said: str) -> None:
    """The file, the line and what was expected."""
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(UsageError, match=r"study\.toml") as caught:
        read_study(tmp_path / "study.toml")
    assert said in str(caught.value)


def test_a_run_is_called_by_what_decides_its_training() -> None:
    """Not by how a number is written; by every option, the seed, the backend and a program's own arguments."""
    trial = Trial("s", "digits", "local", 0, {"lr": "0.01"})
    same = Trial("s", "digits", "local", 0, {"lr": "1e-2"}, chosen={"lr": "1e-2"})
    others = [
        Trial("s", "digits", "local", 1, {"lr": "0.01"}),
        Trial("s", "digits", "aer", 0, {"lr": "0.01"}),
        Trial("s", "digits", "local", 0, {"lr": "0.02"}),
        Trial("s", "digits", "local", 0, {"lr": "0.01", "shots": "10"}),
        Trial("s", "digits", "local", 0, {"lr": "0.01"}, ("--offset", "1")),
    ]
    assert trial.run_name == same.run_name
    assert len({trial.run_name, *(other.run_name for other in others)}) == 6
    assert sweep_of(trial.run_name) == "s"
    assert sweep_of("digits") is None


@pytest.mark.parametrize(("name", "counts"), [("", True), ("-x", False), ("other", False)])
def test_the_budget_of_a_sweep_covers_its_trials_alone(name: str, counts: bool) -> None:
    """Not those of a sweep whose name begins alike, and no other run."""
    budget = sweep_budget("s", parse_money("5 USD"), backend="ionq:simulator")
    run_name = name if name == "other" else Trial(f"s{name}", "digits").run_name
    assert budget.covers(run_id="r", run_name=run_name, backend="ionq:simulator", account="a") is counts
