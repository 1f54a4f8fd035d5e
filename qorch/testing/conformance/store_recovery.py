"""The part of the Store contract that recovery needs: open jobs, their attempts, plans and raw answers."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from qorch.errors import StoreError
from qorch.model.identity import Position
from qorch.model.job import OPEN_STATES, OVER_STATES, AttemptOutcome, JobState, QueuePlace
from qorch.ports.records import AttemptRecord, JobPlan, QueueMove, RawRecord, ReleasedRows, Write
from qorch.ports.store import Store
from qorch.testing.conformance.store_fixtures import StoreFixtures
from qorch.testing.conformance.store_records import (
    HERE,
    NOW,
    assert_same_plan,
    job_plans,
    make_job,
    make_plan,
    make_run,
)


class StoreRecoveryConformance(StoreFixtures):
    """See StoreConformance."""

    def test_open_jobs_are_those_that_may_be_at_a_provider(self, store: Store) -> None:
        """Only jobs in open states are listed, oldest first, of one run or of all."""
        jobs = [replace(make_job(f"r/{i}.0.0"), state=state) for i, state in enumerate(JobState)]
        other = replace(make_job("s/0.0.0"), state=JobState.SUBMITTED)
        store.write([make_run("s"), other, *reversed(jobs)]).result()
        wanted = [job for job in reversed(jobs) if job.state in OPEN_STATES]
        assert store.open_jobs("r") == wanted
        assert store.open_jobs() == [other, *wanted]
        assert store.open_jobs("nobody") == []

    def test_a_job_keeps_its_place_among_the_open_ones(self, store: Store) -> None:
        """Moving between open states does not reorder them; being done takes a job out."""
        jobs = [replace(make_job(f"r/0.0.{i}"), state=JobState.INTENT) for i in range(3)]
        store.write(jobs).result()
        store.write([replace(jobs[0], state=JobState.UNKNOWN), replace(jobs[1], state=JobState.DONE)]).result()
        assert [job.job_id for job in store.open_jobs("r")] == ["r/0.0.0", "r/0.0.2"]

    def test_only_a_queue_move_changes_the_place_in_the_providers_queue(self, store: Store) -> None:
        """Writing the job again leaves it; a job may be written with one at first; one that is not stored has none."""
        job = replace(make_job("r/0.0.0"), state=JobState.SUBMITTED, provider_id="p-1")
        first, second = QueuePlace(2001, NOW, is_least=True), QueuePlace(3, NOW)
        store.write([QueueMove("r/0.0.0", "r", first), job]).result()
        store.write([replace(job, attempts=2)]).result()
        assert store.open_jobs("r") == [replace(job, attempts=2, queue_place=first)]
        store.write([QueueMove("r/0.0.0", "r", second)]).result()
        store.write([replace(job, state=JobState.DONE)]).result()
        assert [found.queue_place for found in store.jobs("r")] == [second]
        store.write([QueueMove("r/0.0.0", "r", None)]).result()
        assert store.jobs("r") == [replace(job, state=JobState.DONE)]
        with pytest.raises(StoreError, match="not stored"):
            store.write([QueueMove("r/0.0.1", "r", first)]).result()
        assert len(store.jobs("r")) == 1

    def test_jobs_are_found_by_their_call(self, store: Store) -> None:
        """Step, call and run all count; oldest first, whatever their state."""
        jobs = [make_job(f"r/{step}.{call}.0", position=Position(step, call)) for step in (1, 2) for call in (0, 1)]
        second = replace(make_job("r/1.1.1", position=Position(1, 1)), state=JobState.FAILED)
        elsewhere = make_job("s/1.1.0", position=Position(1, 1))
        store.write([make_run("s"), elsewhere, *jobs, second]).result()
        assert store.jobs_at("r", Position(1, 1)) == [jobs[1], second]
        assert store.jobs_at("s", Position(1, 1)) == [elsewhere]
        assert store.jobs_at("r", Position(7, 0)) == []

    def test_executions_are_added_up_by_state(self, store: Store) -> None:
        """Those of a run's jobs, in the states that there are."""
        jobs = [make_job(f"r/0.0.{i}") for i in range(3)]
        store.write([*jobs, replace(jobs[0], state=JobState.DONE), replace(jobs[1], state=JobState.DONE)]).result()
        assert store.executions_by_state("r") == {JobState.DONE: 20, JobState.PLANNED: 10}
        assert store.executions_by_state("other") == {}

    def test_an_attempt_may_be_written_again(self, store: Store) -> None:
        """The intent first, its outcome later, under the same ordinal."""
        attempt = AttemptRecord("r/0.0.0", 0, "key", NOW, payload_digest="ab12", search_text="qorch key")
        store.write([attempt]).result()
        store.write([replace(attempt, outcome=AttemptOutcome.ACCEPTED)]).result()

    def test_attempts_of_a_run_are_those_of_its_jobs(self, store: Store) -> None:
        """All of them, by job and in order, and none of another run."""
        jobs = [make_job(job_id) for job_id in ("r/0.0.1", "r/0.0.0", "s/0.0.0")]
        attempts = [AttemptRecord(job.job_id, i, f"{job.job_id} {i}", NOW) for job in jobs for i in (1, 0)]
        store.write([make_run("s"), *jobs, *attempts]).result()
        found = [(each.job_id, each.ordinal) for each in store.run_attempts("r")]
        assert found == [("r/0.0.0", 0), ("r/0.0.0", 1), ("r/0.0.1", 0), ("r/0.0.1", 1)]

    def test_attempts_are_in_order_and_replaced(self, store: Store) -> None:
        """Attempts are ordered by ordinal, not by writing; the last write of each counts."""
        attempts = [AttemptRecord("r/0.0.0", i, f"key{i}", NOW) for i in (2, 0, 1)]
        settled = replace(attempts[1], outcome=AttemptOutcome.REFUSED, error="busy")
        store.write([make_job("r/0.0.1"), *attempts, AttemptRecord("r/0.0.1", 0, "other", NOW)]).result()
        store.write([settled]).result()
        assert store.attempts("r/0.0.0") == [settled, attempts[2], attempts[0]]
        assert store.attempts("nobody") == []

    def test_a_plan_survives_bit_for_bit(self, store: Store) -> None:
        """Blocks in order, all their arrays and types, measurements with and without masks; written anew, replaced."""

        @settings(max_examples=40, deadline=None)
        @given(plan=job_plans())
        def check(plan: JobPlan) -> None:
            store.write([plan]).result()
            found = store.job_plan("r/0.0.0")
            assert found is not None
            assert_same_plan(found, plan)

        assert store.job_plan("r/0.0.0") is None
        check()

    @pytest.mark.parametrize("state", OVER_STATES)
    def test_a_plan_goes_when_its_job_is_over(self, store: Store, state: JobState) -> None:
        """It stays through all open states, and the plans of other jobs stay; a new one may be written later."""
        job = make_job("r/0.0.0")
        store.write([make_job("r/0.0.1"), make_plan(), make_plan(job_id="r/0.0.1")]).result()
        for open_state in (JobState.RESERVED, *OPEN_STATES):
            store.write([replace(job, state=open_state)]).result()
            assert store.job_plan("r/0.0.0") is not None
        store.write([replace(job, state=state)]).result()
        assert store.job_plan("r/0.0.0") is None
        assert store.job_plan("r/0.0.1") is not None
        store.write([job]).result()
        assert store.job_plan("r/0.0.0") is None
        store.write([make_plan()]).result()
        assert store.job_plan("r/0.0.0") is not None

    def test_plan_and_job_share_a_call_in_any_order(self, store: Store) -> None:
        """The state that the job has at the end of the call decides."""
        intent, done = (replace(make_job("r/0.0.1"), state=state) for state in (JobState.INTENT, JobState.DONE))
        plan = make_plan(job_id="r/0.0.1")
        calls: list[tuple[list[Write], bool]] = [
            ([plan, intent], True),
            ([plan, done], False),
            ([done, intent, plan], True),
            ([done, plan], False),
            ([intent, plan, done, intent], True),
        ]
        for writes, is_kept in calls:
            store.write(writes).result()
            assert (store.job_plan("r/0.0.1") is not None) == is_kept

    def test_queued_moves_and_plans_keep_their_order(self, store: Store) -> None:
        """Calls that are applied together end as if each were alone."""
        job = replace(make_job("r/0.0.0"), state=JobState.INTENT)
        plans = [make_plan(rows=rows) for rows in (1, 2)]
        store.write([job, plans[0]])
        store.write([replace(job, state=JobState.FAILED)])
        store.write([job]).result()
        assert store.job_plan("r/0.0.0") is None
        store.write([job, plans[0]])
        store.write([replace(job, state=JobState.FAILED)])
        store.write([job, plans[1]]).result()
        found = store.job_plan("r/0.0.0")
        assert found is not None
        assert_same_plan(found, plans[1])

    def test_the_newest_answer_is_kept(self, store: Store) -> None:
        """Byte for byte, empty or large, with its time and whether it is in quarantine; also once the job is over."""
        noise = np.random.default_rng(1).integers(0, 256, 100_000).astype(np.uint8).tobytes()
        zone = dt.timezone(dt.timedelta(hours=5))
        assert store.raw_result("r/0.0.0") is None
        for content, is_quarantined in ((b"", False), (b"\x00" * 10**6, True), (noise, False), (b'{"a": 1}', True)):
            record = RawRecord("r/0.0.0", "r", content, NOW.astimezone(zone), is_quarantined)
            store.write([record]).result()
            assert store.raw_result("r/0.0.0") == record
        store.write([replace(make_job("r/0.0.0"), state=JobState.DONE)]).result()
        assert store.raw_result("r/0.0.0") == record
        assert store.raw_result("nobody") is None

    @pytest.mark.parametrize(
        "bad",
        [
            RawRecord("x/0.0.0", "r", b"", NOW),
            RawRecord("r/0.0.0", "x", b"", NOW),
            JobPlan("x/0.0.0", "r", ()),
            JobPlan("r/0.0.0", "x", ()),
        ],
        ids=["answer-job", "answer-run", "plan-job", "plan-run"],
    )
    def test_plans_and_answers_need_their_job_and_run(self, store: Store, bad: Write) -> None:
        """The call fails whole, and what it released stays claimed."""
        claims = np.zeros((1, 32), dtype=np.uint8)
        store.write([make_run("s")]).result()
        store.claim_rows("r", claims).result()
        with pytest.raises(StoreError, match=r"\S"):
            store.write([ReleasedRows("r"), make_plan(), RawRecord("r/0.0.0", "r", b"1", NOW), bad]).result()
        assert store.job_plan("r/0.0.0") is None
        assert store.raw_result("r/0.0.0") is None
        assert store.claim_rows("s", claims).result() == ["r"]

    def test_plans_and_answers_survive_reopening(self, open_store: Callable[[], Store]) -> None:
        """What recovery needs is there for the next process."""
        self.needs_persistence()
        first = open_store()
        job = replace(make_job("r/0.0.0"), state=JobState.SUBMITTED, provider_id="p")
        plan, answer = make_plan(), RawRecord("r/0.0.0", "r", b"answer", NOW)
        first.write([make_run("r"), job, AttemptRecord("r/0.0.0", 0, "key", NOW), plan, answer])
        first.close()
        second = open_store()
        assert second.open_jobs() == second.jobs_at("r", HERE) == [job]
        assert [attempt.key for attempt in second.attempts("r/0.0.0")] == ["key"]
        found = second.job_plan("r/0.0.0")
        assert found is not None
        assert_same_plan(found, plan)
        assert second.raw_result("r/0.0.0") == answer
        second.close()
