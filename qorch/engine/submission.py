"""One planned job of a call: its identity, what the backend gets, and what is written down of it."""

import datetime
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qorch.model.arrays import IntArray
from qorch.model.identity import Position, job_id_of
from qorch.model.job import JobRequest, JobResult, JobShape, JobState
from qorch.model.label import JobLabel, LabelledRows, digest_rows, format_rows
from qorch.planning.lowering import RowGroup
from qorch.planning.packing import PlannedJob
from qorch.ports.records import BlockPlan, BlockRecord, BlockRows, JobPlan, JobRecord


@dataclass(frozen=True, eq=False)
class Submission:
    """One planned job of a call, and all that is needed to write it down."""

    run_id: str
    position: Position
    ordinal: int
    job: PlannedJob
    groups: tuple[RowGroup, ...]
    contexts: tuple[bytes, ...]

    @cached_property
    def job_id(self) -> str:
        """The job's name, the same whenever the run is replayed."""
        return job_id_of(self.run_id, self.position, self.ordinal)

    @cached_property
    def request(self) -> JobRequest:
        """What the backend gets."""
        return JobRequest(self.job_id, tuple(selection.block for selection in self.job.selections))

    @cached_property
    def labelled_request(self) -> JobRequest:
        """The request with a label, by which a database that does not know the job can adopt it."""
        return replace(self.request, label=self.label)

    @cached_property
    def label(self) -> JobLabel:
        """Position, rows and digest; the device's context if all blocks have the same."""
        selections = self.job.selections
        contexts = {self.contexts[selection.group] for selection in selections}
        return JobLabel(
            job_id=self.job_id,
            rows=format_rows([(selection.group, selection.rows) for selection in selections]),
            digest=self.digest,
            context=contexts.pop().hex() if len(contexts) == 1 else None,
        )

    @cached_property
    def digest(self) -> str:
        """The digest of the job's rows: circuits, angles, measurements and shots."""
        return digest_rows(
            [
                LabelledRows(
                    group=selection.group,
                    rows=selection.rows,
                    keys=self.groups[selection.group].keys[selection.rows],
                    samples=selection.block.samples,
                )
                for selection in self.job.selections
            ]
        )

    @cached_property
    def plan(self) -> JobPlan:
        """What the job carries, without gates and angles."""
        blocks = tuple(
            BlockPlan(
                rows=BlockRows(
                    group=selection.group,
                    indices=selection.rows.astype("uint64"),
                    keys=self.groups[selection.group].keys[selection.rows],
                    context=self.contexts[selection.group],
                    gates_digest=selection.block.gates.digest,
                    samples=selection.block.samples,
                ),
                measurement=selection.block.measurement,
            )
            for selection in self.job.selections
        )
        return JobPlan(self.job_id, self.run_id, blocks)

    def record(self, state: JobState, *, changed_at: datetime.datetime) -> JobRecord:
        """The job in its first state."""
        return JobRecord(
            job_id=self.job_id,
            run_id=self.run_id,
            position=self.position,
            state=state,
            n_rows=self.job.n_rows,
            shots=self.job.shots,
            changed_at=changed_at,
        )


def shape_of(plan: JobPlan) -> JobShape:
    """What a backend needs to read the answer to a planned job."""
    return JobShape(plan.job_id, tuple(block.shape for block in plan.blocks))


def kept_rows(result: JobResult, index: int, n_rows: int) -> IntArray:
    """The rows of block ``index``, of ``n_rows`` rows, that have a result: all but the lost ones."""
    every = np.arange(n_rows)
    return np.delete(every, result.lost[index]) if result.lost else every


def block_records(
    plan: JobPlan, result: JobResult, *, position: Position, created_at: datetime.datetime
) -> list[BlockRecord]:
    """The blocks to be stored of a job's result; lost rows, and blocks without any other, are left out."""
    records = []
    for index, (block, found) in enumerate(zip(plan.blocks, result.blocks, strict=True)):
        kept = kept_rows(result, index, len(block.rows))
        if not len(kept):
            continue
        records.append(
            BlockRecord(
                job_id=plan.job_id,
                run_id=plan.run_id,
                position=position,
                rows=block.rows if len(kept) == len(block.rows) else block.rows.take(kept),
                measurement_digest=block.measurement.digest,
                n_qubits=block.shape.n_qubits,
                result=found,
                created_at=created_at,
            )
        )
    return records
