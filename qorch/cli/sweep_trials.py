"""From what `qorch sweep` was given to trials, and whether each of them can be, before the first begins."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qorch.backends import find_entry_point
from qorch.cli.settings import SHARED_OPTIONS, as_options, with_defaults
from qorch.cli.train import Consent, open_checked_backend
from qorch.cli.trial_work import trial_settings
from qorch.errors import QorchError, UsageError
from qorch.sweeps.grid import GridRange, Values, combinations, count_combinations
from qorch.sweeps.trial import Trial, canonical
from qorch.sweeps.trial_process import TrialTerms

if TYPE_CHECKING:
    from qorch.workloads.base import Workload

MOST_TRIALS = 100
"""More are begun only with --yes: a grid grows faster than one thinks."""
_RUN_OPTIONS = ("backend", "seed")
_REFUSED = {"name": "each trial has its own", "budget": "it is one for all trials", "cache": "it is one for all trials"}


@dataclass(frozen=True)
class SweptProgram:
    """What is swept. ``base``: a trial without the values of the grid; ``workload``: None for a user's program."""

    base: Trial
    grid: Mapping[str, Values]
    workload: "Workload | None"

    def trial(self, values: Mapping[str, str]) -> Trial:
        """The trial with these values. Raises UsageError for a seed that is no number."""
        options = {**self.base.options, **values}
        if self.workload is None:
            return replace(self.base, options=options, chosen=dict(values))
        backend = options.pop("backend", None) or self.base.backend or "local"
        seed = _read_seed(options.pop("seed")) if "seed" in options else self.base.seed or 0
        options = _without_defaults(options, self.workload)
        return replace(self.base, options=options, backend=backend, seed=seed, chosen=dict(values))

    def grid_trials(self) -> list[Trial]:
        """One for each combination. Raises UsageError if two are the same trial."""
        trials = [self.trial(values) for values in combinations(self.grid)]
        names = {trial.run_name for trial in trials}
        if len(names) < len(trials):
            raise UsageError("two combinations of the grid are the same training; give each value once")
        return trials


def check_grid(swept: SweptProgram, *, is_sampled: bool, is_agreed: bool) -> None:
    """Raise UsageError for an empty grid, an option that the workload lacks, or more trials than is sensible."""
    if not swept.grid:
        raise UsageError("nothing is swept: give values of an option, as in --grid lr=0.01,0.05 --grid layers=1,2")
    for name in swept.grid:
        _check_option(name, swept.workload)
        if name in _fixed_options(swept):
            raise UsageError(f"--{name} is given for all trials, and is swept, too: give it once")
    n_trials = count_combinations(swept.grid)
    if not is_sampled and n_trials is not None and n_trials > MOST_TRIALS and not is_agreed:
        raise UsageError(
            f"the grid has {n_trials:,} combinations; sweep fewer, take some of them with --trials N, or say --yes"
        )


def _fixed_options(swept: SweptProgram) -> set[str]:
    """What all trials have alike."""
    base = swept.base
    given = {"backend": base.backend, "seed": base.seed}
    run_options = {name for name, value in given.items() if value is not None and swept.workload is not None}
    return {*base.options, *run_options}


def check_trials(swept: SweptProgram, trials: Iterable[Trial], terms: TrialTerms) -> None:
    """Raise UsageError, with the combination, for the first that its workload or its backend refuses."""
    opened: set[tuple[object, ...]] = set()
    for trial in trials:
        try:
            _check_trial(trial, terms, swept.workload, opened)
        except UsageError as error:
            raise type(error)(f"{trial}: {error}") from error


def example_trials(swept: SweptProgram) -> list[Trial]:
    """Trials that together have every value of the grid once, and both ends of every range."""
    ends = {name: _ends(values) for name, values in swept.grid.items()}
    longest = max(map(len, ends.values()))
    return [
        swept.trial({name: texts[min(index, len(texts) - 1)] for name, texts in ends.items()})
        for index in range(longest)
    ]


def _ends(values: Values) -> Sequence[str]:
    if isinstance(values, GridRange):
        return [canonical(repr(values.low)), canonical(repr(values.high))]
    return values


def _check_option(name: str, workload: "Workload | None") -> None:
    if name in _REFUSED:
        raise UsageError(f"--{name} cannot be swept: {_REFUSED[name]}")
    if workload is None or name in (*SHARED_OPTIONS, *_RUN_OPTIONS, *workload.own_options):
        return
    known = ", ".join((*workload.own_options, *SHARED_OPTIONS, *_RUN_OPTIONS))
    raise UsageError(f"{workload.name} has no option '{name}' to be swept; there are {known}")


def _check_trial(trial: Trial, terms: TrialTerms, workload: "Workload | None", opened: set[tuple[object, ...]]) -> None:
    """``opened``: the backends that were checked before, with what was asked of them."""
    if workload is None:
        if trial.backend is not None:  # that it can be opened is the program's affair: it may set its key first
            find_entry_point(trial.backend)
        return
    settings = with_defaults(trial_settings(trial, terms), workload)
    workload.check(as_options(settings))
    asked = (settings.backend, settings.shots, settings.gradient)
    if asked not in opened:
        opened.add(asked)
        consent = Consent(accepts_unknown_price=terms.accepts_unknown_price)
        asyncio.run(open_checked_backend(settings, consent).close())


def _without_defaults(options: Mapping[str, str], workload: "Workload") -> dict[str, str]:
    """The options that are not the workload's defaults: a trial is the same whether one is written out or not."""
    default = workload.defaults
    texts = {
        "shots": "exact" if default.shots is None else str(default.shots),
        "epochs": str(default.epochs),
        "batch-size": str(default.batch_size),
        "gradient": str(default.gradient),
        **({} if default.limit is None else {"limit": str(default.limit)}),
        **default.own,
    }
    return {name: text for name, text in options.items() if canonical(text) != canonical(texts.get(name, "\0"))}


def _read_seed(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and int(text) < 2**63):
        raise UsageError(f"the seed '{text}' of the grid is no whole number from 0 on")
    return int(text)


def find_script(name: str) -> Path:
    """The program, absolute. Raises UsageError if there is none."""
    script = Path(name)
    if not script.is_file():
        raise UsageError(f"there is no program {script}")
    return script


def backend_modules(trials: Iterable[Trial]) -> list[str]:
    """The modules of the backends and the workloads of trials, which their processes need."""
    modules: list[str] = []
    for trial in trials:
        if trial.backend is not None:
            try:
                modules.append(find_entry_point(trial.backend).module)
            except QorchError:
                continue
    return list(dict.fromkeys(modules))
