"""What must be true of a simulated world, checked against what its provider knows."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from qorch.model.counts import Counts
from qorch.model.identity import Position
from qorch.model.job import JobRequest, JobState
from qorch.model.result import PubResult
from qorch.ports.policy import OnUnknown, Terms
from qorch.ports.records import BlockRecord
from qorch.testing.fakes.provider import AcceptedJob, Fault, Letter, Outcome
from simulation.conditions import NEVER_READABLE
from simulation.workload import expected_results
from simulation.world import DONE, KILLED, RunStory, World

Sample = tuple[str, int, int, int]
"""Run, stream, ordinal and shot offset: one piece of work."""


def judge(world: World) -> list[str]:
    """Everything that was wrong with a world that has run, as sentences; none where all promises were kept."""
    return [
        *world.violations,
        *paid_twice(world),
        *sent_blindly(world),
        *changed_bytes(world),
        *held_for_nothing(world),
        *above_rate(world),
        *(line for run in world.runs for line in badly_ended(world, run)),
        *(line for run in world.runs if run.endings[-1:] == [DONE] for line in lost(world, run)),
        *(line for run in world.runs for line in wrong_values(world, run)),
    ]


def samples_of(request: JobRequest) -> list[Sample]:
    """The pieces of work that a job carries, block by block."""
    run_id = request.job_id.split("/")[0]
    return [
        (run_id, int(stream), int(ordinal), samples.offset)
        for samples in (block.samples for block in request.blocks)
        if samples is not None
        for stream, ordinal in zip(samples.streams, samples.ordinals, strict=True)
    ]


def paid_twice(world: World) -> Iterator[str]:
    """At most one accepted job per key, and per piece of work one that did not fail before the next was sent."""
    for key, count in world.provider.accepted_twice().items():
        yield f"{count} jobs have the key {key[:16]}"
    by_sample: dict[Sample, list[tuple[Letter, AcceptedJob]]] = defaultdict(list)
    for letter in world.provider.letters:
        if letter.provider_id is not None:
            for sample in samples_of(letter.request):
                by_sample[sample].append((letter, world.provider.jobs[letter.provider_id]))
    for sample, jobs in by_sample.items():
        for (_, earlier), (later, job) in itertools.pairwise(jobs):
            if earlier is not job and not has_failed(
                earlier, sample, at=later.sent_at, is_paid=world.conditions.charges
            ):
                yield f"{sample} was bought as {earlier.request.job_id}, and again as {later.request.job_id}"
                return


def has_failed(job: AcceptedJob, sample: Sample, *, at: float, is_paid: bool) -> bool:
    """Whether it was certain at that time that a job would never give this sample, and would not be charged."""
    if job.done_at > at:
        return False
    lost = [
        np.isin(np.arange(block.n_rows), [row for part in parts for row in part.rows])
        for block, parts in zip(job.request.blocks, job.lost, strict=False)
    ]
    is_lost = bool(lost) and bool(np.concatenate(lost)[samples_of(job.request).index(sample)])
    return is_lost or job.failure is not None or (job.spoiled == NEVER_READABLE and not is_paid)


def sent_blindly(world: World) -> Iterator[str]:
    """Nothing is sent while an earlier submission of the same work is in doubt: never, or until the settle time."""
    earlier: dict[Sample, list[Letter]] = defaultdict(list)
    for letter in world.provider.letters:
        for sample in samples_of(letter.request):
            for before in earlier[sample]:
                is_known = is_remembered(letter, before, world=world) or is_misled(letter, before, world=world)
                if is_blind(letter, before, terms=world.conditions.terms) and not (is_known or is_lost(world, before)):
                    waited = letter.sent_at - before.sent_at
                    yield f"{letter.request.job_id} was sent {waited:.3f} s after {before.request.job_id}, in doubt"
                    return
            earlier[sample].append(letter)


def is_remembered(letter: Letter, before: Letter, *, world: World) -> bool:
    """Whether a submission repeats another one so soon that the provider takes both for the same job.

    Or whether such a repeat was answered before it left, so that there is no doubt any more.
    """
    seconds = world.conditions.remembers_keys_seconds
    repeats = [
        other
        for other in world.provider.letters
        if (other.key, other.digest) == (before.key, before.digest)
        and 0 < other.arrives_at - before.arrives_at < seconds
    ]
    # A repeat that was accepted without an answer is found by its key, and the provider takes both for one job.
    return letter in repeats or any(
        other.outcome_at(letter.sent_at) is Outcome.ACCEPTED or other.provider_id is not None
        for other in [*repeats, *_earlier(before, world=world, seconds=seconds)]
    )


def _earlier(before: Letter, *, world: World, seconds: float) -> Iterator[Letter]:
    """The submissions that a submission repeated: the provider has one job for all of them, found by their key."""
    for other in world.provider.letters:
        is_same = (other.key, other.digest) == (before.key, before.digest)
        if is_same and other.provider_id is not None and 0 < before.arrives_at - other.arrives_at < seconds:
            yield other


def is_misled(letter: Letter, before: Letter, *, world: World) -> bool:
    """Whether a wrong clock said that the provider remembers, when lists that are true had shown that it has no job."""
    conditions = world.conditions
    is_true = conditions.accept_seconds <= conditions.settle_seconds and before.provider_id is None
    is_late = letter.sent_at - before.sent_at >= conditions.settle_seconds
    return bool(conditions.remembers_keys_seconds and conditions.jumps) and is_true and is_late


def changed_bytes(world: World) -> Iterator[str]:
    """All that is sent under one key is the same."""
    digests: dict[str, str] = {}
    for letter in world.provider.letters:
        if not is_lost(world, letter) and digests.setdefault(letter.key, letter.digest) != letter.digest:
            yield f"{letter.request.job_id} was sent with other bytes under its key"
            return


def held_for_nothing(world: World) -> Iterator[str]:
    """A resumed run sends what no list shows again while the provider remembers it, and can be reached."""
    conditions = world.conditions
    is_calm = not (conditions.outages or conditions.closures or conditions.lockouts or conditions.jumps)
    for stop in world.stops if is_calm else ():
        is_young = stop.age_seconds < 0.8 * conditions.remembers_keys_seconds
        sent = [letter for letter in world.provider.letters if letter.request.job_id == stop.job_id]
        if is_young and "No list shows it" in stop.error and all(letter.sent_at < stop.started_at for letter in sent):
            yield f"{stop.job_id} is held after {stop.age_seconds:.1f} s, and was not sent again"
            return


def sent_again_later(world: World) -> int:
    """How many submissions repeated what an earlier process had sent."""
    first: dict[str, float] = {}
    count = 0
    for letter in world.provider.letters:
        begun = first.setdefault(letter.key, letter.sent_at)
        count += any(begun < start <= letter.sent_at for start in world.starts)
    return count


def is_lost(world: World, letter: Letter) -> bool:
    """Whether a submission that was never accepted is in no database, which was restored from an older one."""
    # The provider's times are whole nanoseconds.
    spans = [(start, end + 1e-6) for start, end in world.lost_spans]
    return letter.provider_id is None and any(start <= letter.sent_at <= end for start, end in spans)


def is_blind(letter: Letter, before: Letter, *, terms: Terms) -> bool:
    """Whether a submission followed another one whose outcome was unknown."""
    known = before.outcome_at(letter.sent_at)
    if known is Outcome.REFUSED:
        return False
    if known is Outcome.ACCEPTED or before.provider_id is not None:
        # Under another key it was found first, and `paid_twice` sees to the rest.
        return letter.key == before.key
    return terms.on_unknown is OnUnknown.HOLD or letter.sent_at - before.sent_at < terms.settle_seconds


def above_rate(world: World) -> Iterator[str]:
    """A declared limit is kept in every window, as the provider saw submissions arrive."""
    rate = world.conditions.terms.rate
    if rate is None:
        return
    arrived = sorted(world.provider.submitted_at)
    for first, last in zip(arrived, arrived[rate.calls :], strict=False):
        if last - first < rate.seconds - 1e-6:
            yield f"{rate.calls + 1} submissions arrived within {last - first:.3f} s"
            return


def badly_ended(world: World, run: RunStory) -> Iterator[str]:
    """A life ends done, or with an error for which this world gave a reason."""
    conditions = world.conditions
    is_in_doubt = any(letter.outcome is Outcome.UNKNOWN for letter in world.provider.letters) or KILLED in run.endings
    reasons = {
        DONE: True,
        KILLED: True,
        "CancelledError": run.deaths > 0,
        "RunStoppedError": run.deaths > 0,
        "UnknownOutcomeError": is_in_doubt
        or conditions.accept_seconds > conditions.settle_seconds
        # A resumed run that pays buys nothing while the list cannot be read: its database may have been restored.
        or (conditions.charges and run.restarts > 0 and bool(conditions.outages))
        or (conditions.charges and conditions.spoil_for_good > 0),
        "JobFailedError": conditions.failure > 0 or conditions.loss > 0,
        "InvalidResultError": not conditions.charges and conditions.spoil_for_good > 0,
        "HeldResultError": conditions.charges and conditions.spoil_for_good > 0,
        "RejectedError": conditions.faults[Fault.REJECTED] > 0,
        "BusyError": True,
        "UnavailableError": bool(conditions.closures),
        "UnreachableError": bool(conditions.outages),
        "CredentialsError": bool(conditions.lockouts),
        "BudgetError": world.budget is not None,
    }
    for ending in dict.fromkeys(run.endings):
        if not reasons.get(ending, False):
            yield f"run {run.run_id} ended with {ending}, for no reason"


def lost(world: World, run: RunStory) -> Iterator[str]:
    """Whatever the provider finished for a run that is done is in the store, and nothing of it is open."""
    records = {job.job_id: job for job in world.store.jobs(run.run_id)}
    if world.store.open_jobs(run.run_id):
        yield f"run {run.run_id} is done, and {world.store.open_jobs(run.run_id)[0].job_id} is open"
    for job in world.provider.jobs.values():
        if not job.request.job_id.startswith(f"{run.run_id}/"):
            continue
        record = records.get(job.request.job_id)
        is_good = job.failure is None and job.spoiled != NEVER_READABLE
        if record is None or (is_good and record.state is not JobState.DONE):
            yield f"{job.request.job_id} was accepted, and is {record.state if record else 'not'} in the store"


def wrong_values(world: World, run: RunStory) -> Iterator[str]:
    """What a run got, and whatever is stored, is bit for bit what it is where nothing goes wrong."""
    expected = expected_results(run.program)
    if run.endings[-1:] == [DONE] and len(run.results) != len(expected):
        yield f"run {run.run_id} has {len(run.results)} results of {len(expected)}"
    for step, (found, wanted) in enumerate(zip(run.results, expected, strict=False)):
        if not all(_same(mine, theirs) for mine, theirs in zip(found, wanted, strict=True)):
            yield f"run {run.run_id} got other values at step {step}"
    for step, calls in enumerate(run.program.steps):
        for call in range(len(calls)):
            blocks = world.store.blocks_at(run.run_id, Position(step, call))
            if not _hold_the_same(blocks, expected[step][call].samples[0]):
                yield f"run {run.run_id} has stored other values at step {step}, call {call}, or a row twice"


def _same(found: PubResult, wanted: PubResult) -> bool:
    return bool((found.values == wanted.values).all()) and _equal(found.samples[0], wanted.samples[0])


def _hold_the_same(blocks: list[BlockRecord], wanted: Counts) -> bool:
    rows = [int(row) for block in blocks for row in block.rows.indices]
    counts = [block.result.counts for block in blocks]
    return len(set(rows)) == len(rows) and all(
        found is not None and _equal(found, wanted.take(block.rows.indices.astype(np.int64)))
        for block, found in zip(blocks, counts, strict=True)
    )


def _equal(found: Counts, wanted: Counts) -> bool:
    return (
        np.array_equal(found.outcomes, wanted.outcomes)
        and np.array_equal(found.counts, wanted.counts)
        and np.array_equal(found.offsets, wanted.offsets)
    )
