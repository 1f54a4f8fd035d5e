"""From a call to its plan: circuits are lowered and prepared, rows looked up, and what is missing packed into jobs."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qorch.engine.assembly import check_room
from qorch.engine.lookup import Found, Lookup
from qorch.engine.submission import Submission
from qorch.engine.submitter import Wanted
from qorch.limits import check_shots
from qorch.model.identity import Position, stream_of
from qorch.model.pub import Batch
from qorch.planning.lowering import LoweredBatch, RowGroup, lower
from qorch.planning.packing import Missing, PlannedJob, pack, unexecuted
from qorch.ports.backend import Backend

MOST_PREPARED = 10_000
"""How many circuits are remembered as prepared; a backend that is asked again answers soon."""


@dataclass(frozen=True)
class Call:
    """One call of a run: its batch and its position. ``is_replayed``: an earlier session may have executed it."""

    run_id: str
    seed: int
    position: Position
    batch: Batch
    default_shots: int | None
    is_replayed: bool = False

    @property
    def has_exact(self) -> bool:
        """Whether it asks for exact values."""
        return any(pub.shots_or(self.default_shots) is None for pub in self.batch.pubs)


@dataclass(frozen=True, eq=False)
class CallPlan:
    """What a call takes from the store, and the jobs that bring the rest."""

    call: Call
    lowered: LoweredBatch
    contexts: tuple[bytes, ...]
    found: Found
    jobs: tuple[PlannedJob, ...]

    @property
    def n_rows(self) -> int:
        """The executions of all jobs."""
        return sum(job.n_rows for job in self.jobs)

    @property
    def n_missing(self) -> int:
        """The executions that nothing is stored for."""
        return sum(len(part.rows) for part in self.found.missing)

    @property
    def submissions(self) -> list[Submission]:
        """The jobs, each with its name and place."""
        call, first = self.call, self.found.first_job
        return [
            Submission(call.run_id, call.position, first + ordinal, job, self.lowered.groups, self.contexts)
            for ordinal, job in enumerate(self.jobs)
        ]


class Planner:
    """Plans calls for one backend."""

    def __init__(self, backend: Backend, lookup: Lookup) -> None:
        """No circuit is prepared yet."""
        self._backend = backend
        self._lookup = lookup
        self._prepared: set[bytes] = set()

    def lower(self, call: Call) -> LoweredBatch:
        """The call's measured circuits and rows; pure."""
        return lower(call.batch, default_shots=call.default_shots, estimates=self._backend.capabilities.estimates)

    def is_prepared(self, lowered: LoweredBatch) -> bool:
        """Whether the backend was given all circuits before."""
        return all(group.gates.digest in self._prepared for group in lowered.groups)

    async def prepare(self, lowered: LoweredBatch) -> None:
        """Let the backend compile the circuits that it was not given before. Raises CircuitError."""
        new = {group.gates.digest: group.gates for group in lowered.groups if group.gates.digest not in self._prepared}
        await self._backend.prepare(list(new.values()))
        if len(self._prepared) > MOST_PREPARED:
            self._prepared.clear()
        self._prepared |= set(new)

    def plan(self, call: Call, lowered: LoweredBatch) -> CallPlan:
        """Look up every row and pack what is missing; reads the store.

        The contexts are the backend's of now: a device that was calibrated since the last call has others. Raises
        UsageError for what the backend does not take, RunChangedError if paid rows are stored with other angles.
        """
        self._check(lowered)
        contexts = tuple(self._backend.context(group.gates) for group in lowered.groups)
        found = self._lookup.find(
            lowered,
            contexts=list(contexts),
            stream=stream_of(call.seed, call.position),
            replayed=(call.run_id, call.position) if call.is_replayed else None,
        )
        return CallPlan(call, lowered, contexts, found, self._pack(lowered, found.missing))

    def keep(self, plan: CallPlan, missing: Sequence[Missing]) -> CallPlan:
        """The plan with jobs for these of the missing rows only."""
        return replace(plan, jobs=self._pack(plan.lowered, missing))

    def wanted(self, plan: CallPlan) -> Wanted:
        """What a plan is about to buy."""
        call = plan.call
        return Wanted(
            run_id=call.run_id,
            position=call.position,
            groups=plan.lowered.groups,
            contexts=plan.contexts,
            missing=plan.found.missing,
            jobs=plan.jobs,
            whole=functools.partial(self._pack_whole, call, plan.lowered),
        )

    def _pack_whole(self, call: Call, lowered: LoweredBatch) -> tuple[PlannedJob, ...]:
        stream = stream_of(call.seed, call.position)
        every = [unexecuted(index, group, stream=stream) for index, group in enumerate(lowered.groups)]
        return self._pack(lowered, every)

    def _pack(self, lowered: LoweredBatch, missing: Sequence[Missing]) -> tuple[PlannedJob, ...]:
        return pack(lowered.groups, missing, capabilities=self._backend.capabilities, rows_per_job=self._rows_per_job)

    def _check(self, lowered: LoweredBatch) -> None:
        for group in lowered.groups:
            self._backend.check(group.gates, group.measurement)
            check_shots(self._backend, group.shots)
        check_room(lowered.groups)

    def _rows_per_job(self, group: RowGroup, shots: int | None) -> int:
        return self._backend.rows_per_job(group.gates, group.measurement, shots=shots)
