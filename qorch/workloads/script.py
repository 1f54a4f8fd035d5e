"""What a program of the user's own would buy: it is run, and every run that it starts gets made-up values."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qorch import wiring
from qorch.errors import QorchError, UsageError
from qorch.model.prices.card import PriceCard
from qorch.planning.quoting import Quote, no_quote
from qorch.ports.backend import OfflinePlanner
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord, StepRecord
from qorch.run.resources import Progress
from qorch.run.run import Run
from qorch.stores import open_store
from qorch.workloads.program import run_or_explain, start_replaced
from qorch.workloads.rehearsed_backend import RehearsedBackend

MADE_UP = "values are made up: a loop that stops by its loss may stop elsewhere"


@dataclass(frozen=True)
class ScriptQuote:
    """What a program buys on a backend, all of its runs together.

    ``steps``, ``epochs``: how many there were. ``step``, ``epoch``: the first ones, None if there was none; ``run``:
    everything. ``unpacked``: everything with one execution per job. ``assumptions``: see OfflinePlanner.
    """

    backend: str
    card: PriceCard
    steps: int
    epochs: int
    step: Quote | None
    epoch: Quote | None
    run: Quote
    unpacked: Quote
    assumptions: tuple[str, ...]


def quote_script(
    script: Path, arguments: Sequence[str], *, planner: OfflinePlanner, card: PriceCard, db: Path
) -> ScriptQuote:
    """Run a program, and quote what its runs execute; ``db``: a database for them, which is thrown away.

    The process should be one of its own: the program has it for itself, as if it had been started there. Raises
    UsageError if the program fails or starts no run.
    """
    rehearsal = _Rehearsal(planner, card, db)
    with closing(rehearsal), start_replaced(rehearsal.start_run):
        run_or_explain(script, arguments, before="it was quoted")
    if not rehearsal.runs:
        raise UsageError(f"{script} has started no run: a quote is of what is executed in `qorch.start_run(...)`")
    return rehearsal.sum_up()


@dataclass(eq=False)
class _Rehearsal:
    """Starts runs on a backend that is rehearsed, in place of any other, and adds up what they execute."""

    planner: OfflinePlanner
    card: PriceCard
    db: Path
    runs: dict[str, tuple[Run, RehearsedBackend]] = field(default_factory=dict)
    real_start: Callable[..., Run] = field(default_factory=lambda: wiring.start_run)

    def start_run(
        self, name: str, *, backend: object, progress: Callable[[Progress], None] | str | None = None, **options: Any
    ) -> Run:
        """See ``qorch.start_run``. Backend, database and budget are not those that the program asks for."""
        del backend
        rehearsed = self._new_backend()

        def follow(now: Progress) -> None:
            rehearsed.end_step()
            if callable(progress):
                progress(now)

        replaced: dict[str, Any] = {"db": self.db, "budget": None, "accept_unknown_price": True, "progress": follow}
        run = self.real_start(name, backend=rehearsed, **options | replaced)
        earlier = self.runs.get(run.run_id)
        if earlier is not None:
            rehearsed.go_on_with(earlier[1])
        self.runs[run.run_id] = run, rehearsed
        return run

    def _new_backend(self) -> RehearsedBackend:
        free = replace(self.planner.capabilities, charges=False)
        return RehearsedBackend(self.planner, free, self.card)

    def close(self) -> None:
        """End the runs that the program has left open."""
        for run, _ in self.runs.values():
            with suppress(QorchError):
                run.close()

    def sum_up(self) -> ScriptQuote:
        """The quote of all runs."""
        with closing(open_store(self.db, clock=WallClock())) as store:
            books = [
                _Book(store.steps(run_id), store.jobs(run_id), backend) for run_id, (_, backend) in self.runs.items()
            ]
        everything, unpacked = no_quote(self.card), no_quote(self.card)
        for _, backend in self.runs.values():
            everything = _sum(backend.quotes.values(), everything)
            unpacked += backend.unpacked
        return ScriptQuote(
            backend=self.planner.name,
            card=self.card,
            steps=sum(len(book.steps) for book in books),
            epochs=sum(len(book.epochs) for book in books),
            step=next((_sum(book.first_step(), no_quote(self.card)) for book in books if book.steps), None),
            epoch=next((_sum(book.first_epoch(), no_quote(self.card)) for book in books if book.epochs), None),
            run=everything,
            unpacked=unpacked,
            assumptions=(MADE_UP, *self.planner.assumptions),
        )


@dataclass(frozen=True)
class _Book:
    """What a run has recorded, and the backend that knows what each of its jobs costs."""

    steps: list[StepRecord]
    jobs: list[JobRecord]
    backend: RehearsedBackend

    @property
    def epochs(self) -> list[int]:
        """The numbers of the epochs, in order."""
        return sorted({step.epoch for step in self.steps if step.epoch is not None})

    def first_step(self) -> list[Quote]:
        """The jobs of the first step, without those of the calls after it, which have its number, too."""
        step = self.steps[0].step
        inside = self.backend.jobs_of_first_step
        return self._quotes(job for job in self.jobs if job.position.step == step and job.job_id in inside)

    def first_epoch(self) -> list[Quote]:
        """The jobs of the steps of the first epoch, and of the calls after each."""
        epoch = self.epochs[0]
        steps = {step.step for step in self.steps if step.epoch == epoch}
        return self._quotes(job for job in self.jobs if job.position.step in steps)

    def _quotes(self, jobs: Iterable[JobRecord]) -> list[Quote]:
        return [self.backend.quotes[job.job_id] for job in jobs]


def _sum(quotes: Iterable[Quote], nothing: Quote) -> Quote:
    for quote in quotes:
        nothing += quote
    return nothing
