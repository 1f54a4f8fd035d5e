"""Which trials to try next: Optuna's samplers and pruners over what the database has of the sweep.

Optuna keeps nothing of its own: its study is made from the stored trials whenever a sweep begins or goes on. The random
numbers of each choice come from the sweep's seed and from how many trials there were before, so that a sweep of one
trial at a time chooses the same ones however often it is stopped.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from qorch.errors import MissingPackageError, UsageError
from qorch.ports.clock import WallClock
from qorch.ports.records import RunState
from qorch.ports.store import Store
from qorch.stores import open_store
from qorch.sweeps.grid import GridRange, Values
from qorch.sweeps.ranking import Ranking
from qorch.sweeps.stored_trial import StoredTrial, read_trials
from qorch.sweeps.trial import Trial, canonical
from qorch.sweeps.trial_process import TrialState
from qorch.sweeps.trials import TrialOutcome

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("random", "tpe", "qmc", "gp")
PRUNERS = ("none", "median", "halving")
_MOST_REPEATS = 100
"""Choices of a sampler that were made before, one after the other, after which no new one is expected; so many more
than there are trials, as ``qmc`` begins its one sequence anew whenever a sweep goes on."""


def check_search(sampler: str | None, pruner: str | None) -> None:
    """Raise UsageError for a sampler or pruner that is not offered."""
    for option, name, known in (("sampler", sampler, SAMPLERS), ("pruner", pruner, PRUNERS)):
        if name is not None and name not in known:
            raise UsageError(f"there is no --{option} '{name}'; choose one of {', '.join(known)}")


class Search:
    """Chooses the trials of a sweep one after the other, from how the earlier ones ended."""

    def __init__(
        self,
        space: Mapping[str, Values],
        *,
        make_trial: Callable[[Mapping[str, str]], Trial],
        ranking: Ranking,
        n_trials: int,
        db: str,
        sampler: str | None = None,
        pruner: str | None = None,
        seed: int = 0,
    ) -> None:
        """``make_trial``: from the values of the options to the trial. Raises MissingPackageError without Optuna."""
        check_search(sampler, pruner)
        self._optuna = _load_optuna()
        self._space = space
        self._distributions = {name: _distribution(self._optuna, values) for name, values in space.items()}
        self._make_trial = make_trial
        self._ranking = ranking
        self._n_trials = n_trials
        self._db = db
        self._sampler = sampler or "tpe"
        self._seed = seed
        self._asked: dict[str, optuna.Trial | None] = {}
        self._reported: dict[str, int] = {}
        self._prunes = pruner not in {None, "none"}
        self._study = self._optuna.create_study(
            direction=ranking.direction, pruner=_make_pruner(self._optuna, pruner), sampler=self._next_sampler(0)
        )

    def trials(self) -> Iterator[Trial]:
        """Those that the database has, oldest first, then new ones, until there are enough of them together."""
        for trial, params in self._take_stored():
            yield self._remember(trial, None if params is None else self._ask(params))
        while len(self._asked) < self._n_trials:
            new = self._choose()
            if new is None:
                return
            yield new

    def end(self, outcome: TrialOutcome) -> None:
        """Tell the sampler how a trial ended."""
        asked = self._asked.get(outcome.trial.run_name)
        if asked is None:
            return
        with self._open_store() as store:
            value = self._value_of(store, outcome.trial)
        states = self._optuna.trial.TrialState
        if outcome.state is TrialState.DONE and value is not None:
            self._study.tell(asked, value)
        else:
            self._study.tell(asked, state=states.PRUNED if outcome.state is TrialState.CANCELLED else states.FAIL)
        self._asked[outcome.trial.run_name] = None

    def ends_early(self, trial: Trial, store: Store) -> bool:
        """Whether the pruner gives a trial up, by what it has logged so far."""
        asked = self._asked.get(trial.run_name)
        if not self._prunes or asked is None:
            return False
        for step, value in self._history(store, trial.run_name).items():
            if step > self._reported.get(trial.run_name, -1):
                asked.report(value, step)
                self._reported[trial.run_name] = step
        return bool(asked.should_prune())

    def _take_stored(self) -> list[tuple[Trial, dict[str, Any] | None]]:
        """The stored trials of this space, with their parameters if they are not over; Optuna is told the others."""
        found: list[tuple[Trial, dict[str, Any] | None]] = []
        with self._open_store() as store:
            stored_trials = [] if not self._space else read_trials(store, self._make_trial(self._example()).sweep)
            for stored in stored_trials:
                params = self._params_of(stored)
                if params is None:
                    continue
                trial = self._make_trial(_as_texts(params))
                if trial.run_name != stored.run_name:
                    continue
                is_over = stored.state in {RunState.DONE, RunState.CANCELLED}
                if is_over:
                    self._add(stored, params, self._history(store, stored.run_name))
                found.append((trial, None if is_over else params))
        return found

    def _add(self, stored: StoredTrial, params: Mapping[str, Any], history: Mapping[int, float]) -> None:
        states = self._optuna.trial.TrialState
        value = self._ranking.value_of(stored)
        state = states.FAIL if value is None else states.COMPLETE
        state = states.PRUNED if stored.state == RunState.CANCELLED else state
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=state,
                value=value if state is states.COMPLETE else None,
                params=dict(params),
                distributions=self._distributions,
                intermediate_values=dict(history),
            )
        )

    def _choose(self) -> Trial | None:
        """A trial that was not tried yet; None if the sampler finds no other."""
        number = len(self._asked)
        for repeat in range(number + _MOST_REPEATS):
            self._study.sampler = self._next_sampler(number, repeat=repeat)
            asked = self._study.ask(self._distributions)
            trial: Trial = self._make_trial(_as_texts(asked.params))
            if trial.run_name not in self._asked:
                return self._remember(trial, asked)
            self._study.tell(asked, state=self._optuna.trial.TrialState.FAIL)
        return None

    def _ask(self, params: dict[str, Any]) -> "optuna.Trial":
        self._study.enqueue_trial(params)
        asked: optuna.Trial = self._study.ask(self._distributions)
        return asked

    def _remember(self, trial: Trial, asked: "optuna.Trial | None") -> Trial:
        self._asked[trial.run_name] = asked
        return trial

    def _next_sampler(self, number: int, *, repeat: int = 0) -> Any:
        digest = hashlib.sha256(f"qorch-search-1/{self._seed}/{number}/{repeat}".encode()).digest()
        return _make_sampler(self._optuna, self._sampler, seed=int.from_bytes(digest[:4]))

    def _example(self) -> dict[str, str]:
        return {
            name: canonical(repr(values.low)) if isinstance(values, GridRange) else values[0]
            for name, values in self._space.items()
        }

    def _params_of(self, stored: StoredTrial) -> dict[str, Any] | None:
        """The values of a stored trial as Optuna has them; None if one of them is not of this space."""
        params: dict[str, Any] = {}
        for name, values in self._space.items():
            text = stored.options.get(name)
            value = None if text is None else _read_value(text, values)
            if value is None:
                return None
            params[name] = value
        return params

    def _value_of(self, store: Store, trial: Trial) -> float | None:
        found = (each for each in read_trials(store, trial.sweep) if each.run_name == trial.run_name)
        stored = next(found, None)
        return None if stored is None else self._ranking.value_of(stored)

    def _history(self, store: Store, run_name: str) -> dict[int, float]:
        """What a run logged of the metric, the last value of each step.

        Without what was logged before the first step: Optuna takes no step below 0.
        """
        run = store.find_run(run_name)
        records = [] if run is None else store.metrics(run.run_id)
        return {
            record.step: record.value for record in records if record.name == self._ranking.metric and record.step >= 0
        }

    def _open_store(self) -> closing[Store]:
        return closing(open_store(self._db, clock=WallClock()))


def _load_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError("--trials needs Optuna: pip install 'qorch[optuna]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(optuna: Any, values: Values) -> Any:
    kinds = optuna.distributions
    if not isinstance(values, GridRange):
        return kinds.CategoricalDistribution(values)
    if values.is_whole:
        return kinds.IntDistribution(int(values.low), int(values.high), log=values.is_log)
    return kinds.FloatDistribution(values.low, values.high, log=values.is_log)


def _make_sampler(optuna: Any, name: str, *, seed: int) -> Any:
    samplers = optuna.samplers
    kinds = {"random": samplers.RandomSampler, "tpe": samplers.TPESampler, "qmc": samplers.QMCSampler}
    with warnings.catch_warnings():
        # A warning to whoever programs with Optuna; which version qorch takes is pinned.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kinds.get(name, samplers.GPSampler)(seed=seed)


def _make_pruner(optuna: Any, name: str | None) -> Any:
    pruners = optuna.pruners
    if name == "median":
        return pruners.MedianPruner()
    return pruners.SuccessiveHalvingPruner() if name == "halving" else pruners.NopPruner()


def _as_texts(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else canonical(repr(value)) for name, value in params.items()}


def _read_value(text: str, values: Values) -> Any:
    """A text as a value of an option; None if it is none of them."""
    if not isinstance(values, GridRange):
        return next((value for value in values if canonical(value) == canonical(text)), None)
    try:
        number = float(text)
    except ValueError:
        return None
    if not values.low <= number <= values.high or (values.is_whole and not number.is_integer()):
        return None
    return int(number) if values.is_whole else number
