"""What a workload would buy on a backend: per step, epoch and run, unpacked, and with another gradient method."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from qorch.gradients.method import GradientMethod
from qorch.gradients.methods import GRADIENTS, CallStreams, as_method, expand_all
from qorch.limits import check_exact_gradients
from qorch.model.identity import Position
from qorch.model.prices.card import PriceCard
from qorch.model.pub import Batch
from qorch.planning.quoting import Quote, no_quote, quote_offline, quote_unpacked
from qorch.ports.backend import OfflinePlanner
from qorch.run.rehearsal import Rehearsed, rehearse
from qorch.workloads.base import Outline


@dataclass(frozen=True)
class WorkloadQuote:
    """What a training buys on a backend, if nothing of it is stored yet.

    ``run`` is ``epochs`` times ``epoch``, which is ``steps`` times ``step``, and its ``evaluation``. ``unpacked``: the
    whole run with one execution per job. ``methods``: the whole run with other gradient methods, by name; empty where
    no gradients are measured. ``assumptions``: what was taken from records, as only the provider knows.
    """

    backend: str
    card: PriceCard
    steps: int
    epochs: int
    step: Quote
    evaluation: Quote
    unpacked: Quote
    methods: Mapping[str, Quote]
    assumptions: tuple[str, ...]

    @property
    def epoch(self) -> Quote:
        """All steps of an epoch, and what follows upon them."""
        return _epoch_of(self.step, self.evaluation, steps=self.steps)

    @property
    def run(self) -> Quote:
        """The whole training."""
        return self.epoch.times(self.epochs)


@dataclass(frozen=True, eq=False)
class RehearsedWorkload:
    """The calls of one step and of one evaluation, which are the same whatever the backend."""

    outline: Outline
    step: tuple[Rehearsed, ...]
    evaluation: tuple[Rehearsed, ...]
    wants_exact_gradients: bool


def rehearse_workload(outline: Outline) -> RehearsedWorkload:
    """Go through one step and one evaluation without executing anything."""
    with rehearse() as rehearsal:
        outline.step()
        step = tuple(rehearsal.calls)
        rehearsal.calls.clear()
        outline.evaluate()
    return RehearsedWorkload(outline, step, tuple(rehearsal.calls), rehearsal.wants_exact_gradients)


def quote_workload(
    rehearsed: RehearsedWorkload, planner: OfflinePlanner, card: PriceCard, *, default_shots: int | None
) -> WorkloadQuote:
    """Quote what a training would execute on a backend.

    Raises UsageError for what the backend does not take: circuits, shots, exact values or gradients.
    """
    if rehearsed.wants_exact_gradients:
        check_exact_gradients(planner)
    _check_gradients(rehearsed.step, default_shots=default_shots)
    outline = rehearsed.outline
    packed, unpacked = (
        partial(quote, planner=planner, card=card, default_shots=default_shots)
        for quote in (quote_offline, quote_unpacked)
    )

    def run_of(step: Quote, evaluation: Quote) -> Quote:
        return _epoch_of(step, evaluation, steps=outline.steps).times(outline.epochs)

    step, evaluation = (_add_up(calls, packed, card) for calls in (rehearsed.step, rehearsed.evaluation))
    return WorkloadQuote(
        backend=planner.name,
        card=card,
        steps=outline.steps,
        epochs=outline.epochs,
        step=step,
        evaluation=evaluation,
        unpacked=run_of(*(_add_up(calls, unpacked, card) for calls in (rehearsed.step, rehearsed.evaluation))),
        methods={
            name: run_of(_add_up(rehearsed.step, packed, card, batch_of=batch_of), evaluation)
            for name, batch_of in _other_methods(rehearsed.step, planner, default_shots=default_shots).items()
        },
        assumptions=(*planner.assumptions, *_warn_of_limit(step)),
    )


def _epoch_of(step: Quote, evaluation: Quote, *, steps: int) -> Quote:
    return step.times(steps) + evaluation


def _own_batch(call: Rehearsed) -> Batch:
    return call.batch


def _add_up(
    calls: tuple[Rehearsed, ...],
    quote: Callable[[Batch], Quote],
    card: PriceCard,
    *,
    batch_of: Callable[[Rehearsed], Batch] = _own_batch,
) -> Quote:
    """What several calls buy, each of which leaves alone."""
    total = no_quote(card)
    for call in calls:
        total += quote(batch_of(call))
    return total


def _warn_of_limit(step: Quote) -> tuple[str, ...]:
    """A sentence if jobs are expected to take as long as they may, after which a provider ends them."""
    cost = step.cost
    if cost is None or cost.is_exact or cost.expected_micros < cost.high_micros:
        return ()
    return (
        "jobs may need more time than they are allowed, and fail: allow more, or pack fewer rows into a job (rows=)",
    )


def _other_methods(
    calls: tuple[Rehearsed, ...], planner: OfflinePlanner, *, default_shots: int | None
) -> dict[str, Callable[[Rehearsed], Batch]]:
    """What calls would execute by other gradient methods, by name; none if they measure no gradients."""
    if all(call.points is None for call in calls):
        return {}
    used = {call.method for call in calls}
    offered = [method for method in map(as_method, GRADIENTS) if method.name not in used]
    if not planner.capabilities.exact_gradients:
        offered = [method for method in offered if not method.is_computed]
    if None in _shots_of(calls, default_shots=default_shots):
        offered = [method for method in offered if not method.why_not_exact]
    return {method.name: partial(_batch_by, method=method) for method in offered}


def _shots_of(calls: tuple[Rehearsed, ...], *, default_shots: int | None) -> set[int | None]:
    pubs = [pub for call in calls if call.points for pub in call.points.pubs]
    return {pub.shots_or(default_shots) for pub in pubs}


def _check_gradients(calls: tuple[Rehearsed, ...], *, default_shots: int | None) -> None:
    """Raise ShotsError for shots with which the gradient method of a call makes no sense."""
    for call in calls:
        if call.points is not None and None in _shots_of((call,), default_shots=default_shots):
            as_method(call.method).check_shots(None)


def _batch_by(call: Rehearsed, *, method: GradientMethod) -> Batch:
    """What a call would execute by this gradient method."""
    if call.points is None:
        return call.batch
    streams = CallStreams(0, Position(0, 0))
    return expand_all(call.points.pubs, call.wanted, method=method, streams=streams, default_shots="run")[0]
