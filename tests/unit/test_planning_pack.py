"""Packing rows into jobs, and replaying what a run stored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.pub import Batch, Pub
from qorch.model.samples import Samples
from qorch.planning.lowering import RowGroup, lower
from qorch.planning.packing import Missing, PlannedJob, pack, unexecuted
from qorch.ports.backend import Capabilities


def capabilities(*, slots: int = 2, charges: bool = False, max_rows_per_job: int = 10_000) -> Capabilities:
    """Limits that only planning reads."""
    return Capabilities(max_qubits=10, max_shots=10**6, max_rows_per_job=max_rows_per_job, slots=slots, charges=charges)


def row_groups(*n_rows: int) -> tuple[RowGroup, ...]:
    """One group per number of rows, all of one circuit."""
    circuit = free_circuit(build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))]))
    pubs = tuple(Pub(circuit, np.arange(float(n)).reshape(n, 1), observables="Z0", shots=10) for n in n_rows)
    return lower(Batch(pubs), default_shots=None).groups


def plan(groups: tuple[RowGroup, ...], size: int, limits: Capabilities) -> tuple[PlannedJob, ...]:
    """All rows of all groups, ``size`` to a full job."""
    missing = [unexecuted(index, group, stream=9) for index, group in enumerate(groups)]
    return pack(groups, missing, capabilities=limits, rows_per_job=lambda group, shots: size)


@settings(max_examples=200, deadline=None)
@given(
    n_rows=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    size=st.integers(1, 50),
    slots=st.integers(1, 4),
    charges=st.booleans(),
)
def test_every_row_once_and_no_job_too_large(n_rows: list[int], size: int, slots: int, charges: bool) -> None:
    """Every row is in exactly one job, with its own angles and ordinal, and no job is larger than a full one."""
    groups = row_groups(*n_rows)
    jobs = plan(groups, size, capabilities(slots=slots, charges=charges))
    seen = set()
    for job in jobs:
        assert job.n_rows <= size
        for selection in job.selections:
            group = groups[selection.group]
            assert (selection.block.angles == group.angles[selection.rows]).all()
            assert selection.block.samples is not None
            assert (selection.block.samples.ordinals == group.ordinals[selection.rows]).all()
            assert (selection.block.samples.streams == 9).all()
            seen |= {(selection.group, int(row)) for row in selection.rows}
    assert len(seen) == sum(n_rows) == sum(job.n_rows for job in jobs)


def test_paid_jobs_are_as_few_as_the_limit_allows() -> None:
    """Where jobs cost money, 2,080 rows of at most 1,000 are three jobs, however many slots there are."""
    assert len(plan(row_groups(2080), 1000, capabilities(slots=8, charges=True))) == 3


def test_hard_limit_wins() -> None:
    """The backend's hard limit of rows per job is kept even where a good job would be larger."""
    jobs = plan(row_groups(100), 1000, capabilities(max_rows_per_job=30))
    assert max(job.n_rows for job in jobs) <= 30


def test_free_slots_are_filled() -> None:
    """On a free backend a call is split so that all slots finish together."""
    jobs = plan(row_groups(500), 1000, capabilities(slots=4))
    assert [job.n_rows for job in jobs] == [125] * 4


def test_tiny_calls_stay_whole() -> None:
    """A call that is a small part of a good job is not torn apart."""
    assert len(plan(row_groups(8), 1000, capabilities(slots=4))) == 1


def test_nothing_missing_is_no_job() -> None:
    """A call that is answered by the store makes no job."""
    groups = row_groups(5)
    empty = np.zeros(0, dtype=np.int64)
    none = np.zeros(0, dtype=np.uint64)
    missing = [Missing(0, empty, Samples(none, none, 10))]
    assert pack(groups, missing, capabilities=capabilities(), rows_per_job=lambda group, shots: 5) == ()


def test_ordinals_are_unique_within_a_call() -> None:
    """No two executions of a call share an ordinal, across pubs and bases."""
    circuit = free_circuit(build_gate_list(2, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))]))
    pub = Pub(circuit, np.zeros((3, 1)), observables=["Z0", "X0", "Y0 X1"], shots=10)
    groups = lower(Batch((pub, pub)), default_shots=None).groups
    ordinals = np.concatenate([group.ordinals for group in groups])
    assert len(groups) == 6
    assert sorted(ordinals.tolist()) == list(range(18))


@pytest.mark.parametrize("angle", [0.0, np.pi, 1.0])
def test_one_ulp_is_another_row(angle: float) -> None:
    """Angles one ulp apart have different keys; equal bits have equal keys."""
    circuit = free_circuit(build_gate_list(1, [(GATES_BY_NAME["rx"].opcode, (0,), (None,))]))
    values = np.array([[angle], [np.nextafter(angle, 10.0)], [angle]])
    (group,) = lower(Batch((Pub(circuit, values, observables="Z0", shots=10),)), default_shots=None).groups
    assert (group.keys[0] == group.keys[2]).all()
    assert (group.keys[0] != group.keys[1]).any()
