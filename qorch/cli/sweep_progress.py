"""One line for each trial of a sweep that ends, on standard error."""

from contextlib import closing
from dataclasses import dataclass

from qorch.cli.output import print_aside
from qorch.cli.sweep_table import format_metric
from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch.sweeps.ranking import choose_ranking
from qorch.sweeps.stored_trial import StoredTrial, read_trials
from qorch.sweeps.trials import TrialOutcome


@dataclass(eq=False)
class SweepProgress:
    """Counts trials. ``metric``: None is the most usual one."""

    n_trials: int
    db: str
    metric: str | None
    n_ended: int = 0

    def end(self, outcome: TrialOutcome) -> None:
        """Say how a trial ended."""
        self.n_ended += 1
        trial = outcome.trial
        words = f"trial {self.n_ended} of {max(self.n_trials, self.n_ended)}: {trial}: "
        if outcome.problem is not None:
            print_aside(f"{words}{outcome.state}: {outcome.problem}")
            return
        stored = self._read(trial.sweep, trial.run_name)
        print_aside(words + ("done before" if outcome.was_done else "done") + self._figures(stored))

    def _read(self, sweep: str, run_name: str) -> StoredTrial | None:
        with closing(open_store(self.db, clock=WallClock())) as store:
            return next((trial for trial in read_trials(store, sweep) if trial.run_name == run_name), None)

    def _figures(self, stored: StoredTrial | None) -> str:
        if stored is None or not stored.metrics:
            return ""
        ranking = choose_ranking([], metric=self.metric, direction=None) if self.metric else None
        ranking = ranking or choose_ranking([stored], metric=None, direction=None)
        value = format_metric(ranking.value_of(stored))
        return f", {ranking.metric} {value}, {stored.executions:,} executions, {stored.seconds:.1f} s"
