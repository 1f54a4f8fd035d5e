"""The Store contract as tests: subclass ``StoreConformance`` and give it a way to open your store.

::

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "store")   # persistent: each call opens the same one

        @pytest.fixture
        def opening_code(self, tmp_path):
            return f"from my_store import MyStore; store = MyStore({str(tmp_path / 'store')!r})"
"""

import datetime as dt
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import numpy as np
import pytest

from qorch.errors import RunBusyError, StoreError
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.timing import Phase, Span, TimeSource
from qorch.ports.records import (
    AttemptRecord,
    CheckpointRecord,
    MetricRecord,
    RunMove,
    RunRecord,
    RunState,
    SessionRecord,
    SpanRecord,
    StepRecord,
    StopRequest,
    Write,
)
from qorch.ports.store import Store
from qorch.testing.conformance.store_books import StoreBooksConformance
from qorch.testing.conformance.store_records import (
    CONTEXT,
    GATES,
    HERE,
    MEASUREMENT,
    NOW,
    assert_same_block,
    assert_same_result,
    assert_same_samples,
    make_block,
    make_job,
    make_run,
    start_python,
    with_rows,
)
from qorch.testing.conformance.store_recovery import StoreRecoveryConformance
from qorch.testing.conformance.store_results import StoreResultsConformance
from qorch.testing.conformance.store_runs import StoreRunsConformance
from qorch.testing.conformance.store_sharing import StoreSharingConformance
from qorch.testing.conformance.store_trimming import StoreTrimmingConformance
from qorch.testing.conformance.store_usage import StoreUsageConformance

_PATIENCE_SECONDS = 60


class StoreConformance(
    StoreBooksConformance,
    StoreRecoveryConformance,
    StoreResultsConformance,
    StoreRunsConformance,
    StoreSharingConformance,
    StoreTrimmingConformance,
    StoreUsageConformance,
):
    """The tests that every Store must pass. ``is_persistent`` False skips those that only a store on disk can pass."""

    def test_a_run_is_read_as_it_was_written(self, store: Store) -> None:
        """Every field survives, also a seed beyond 64 bits and a time in another zone."""
        zone = dt.timezone(dt.timedelta(hours=-7))
        run = RunRecord(
            "full", "näme", "aer", 2**80, "reuse", NOW.astimezone(zone), "mnist", '{"a": 1}', 10**15, "USD",
            RunState.STOPPED, '{"b": 2}',
        )  # fmt: skip
        store.write([run]).result()
        assert store.find_run("full") == run

    def test_find_run_prefers_the_id_and_then_the_newest_name(self, store: Store) -> None:
        """An id is exact; of several runs with one name, the last is meant; otherwise there is none."""
        runs = [replace(make_run(f"run{i}", name="twice"), created_at=_after(i)) for i in range(3)]
        store.write([*runs, replace(make_run("twice-id"), name="run1")]).result()
        assert store.find_run("twice") == runs[2]
        assert store.find_run("run1") == runs[1]
        assert store.find_run("nobody") is None

    def test_runs_are_newest_first(self, store: Store) -> None:
        """Runs are in the order of their time of creation, and by the order of writing if that is equal."""
        late, early = replace(make_run("late"), created_at=_after(9)), make_run("early")
        store.write([late, early]).result()
        assert [run.run_id for run in store.runs()] == ["late", "early", "r"]

    def test_a_run_moves_and_keeps_its_summary(self, store: Store) -> None:
        """A move changes the state, and the summary only if it has one."""
        store.write([RunMove("r", RunState.DONE, '{"loss": 1}'), RunMove("r", RunState.FAILED)]).result()
        run = store.find_run("r")
        assert run is not None
        assert (run.state, run.summary) == (RunState.FAILED, '{"loss": 1}')

    def test_sessions_and_steps_are_replaced_and_in_order(self, store: Store) -> None:
        """A second write of the same ordinal replaces the first; reading is by ordinal."""
        sessions = [SessionRecord("r", i, 17, "host", NOW, wall_ns=i, is_command=i == 1) for i in (1, 0)]
        steps = [StepRecord("r", i, 0, NOW, 10, i, NOW, 3) for i in (2, -1, 0)]
        renewed = replace(sessions[0], wall_ns=10**18)
        repeated = replace(steps[0], executions=99)
        store.write([*sessions, *steps]).result()
        store.write([renewed, repeated]).result()
        assert store.sessions("r") == [sessions[1], renewed]
        assert store.steps("r") == [steps[1], steps[2], repeated]

    def test_metrics_are_replaced_and_in_order(self, store: Store) -> None:
        """A second write of a step's ordinal replaces the first; infinite values come back, and NaN as NaN."""
        metrics = [
            MetricRecord("r", step, ordinal, f"m{ordinal}", value, NOW, epoch)
            for step, ordinal, value, epoch in ((1, 0, 0.5, 2), (-1, 0, -math.inf, None), (1, 1, 3.0, 2))
        ]
        renewed = replace(metrics[0], value=math.nan)
        store.write(metrics).result()
        store.write([renewed]).result()
        first, second, third = store.metrics("r")
        assert (first, third) == (metrics[1], metrics[2])
        assert math.isnan(second.value)
        assert replace(second, value=0.0) == replace(renewed, value=0.0)
        assert store.metrics("other") == []

    def test_a_job_moves_in_place(self, store: Store) -> None:
        """Writing a job again moves it and leaves it where it was in the order."""
        first, second = make_job("r/0.0.0"), make_job("r/0.0.1", shots=None)
        moved = replace(first, state=JobState.DONE, provider_id="p-1", attempts=2, error="once", changed_at=_after(1))
        store.write([second, moved]).result()
        assert store.jobs("r") == [moved, second]
        assert store.jobs(state=JobState.DONE) == [moved]
        assert store.jobs("other") == []

    def test_spans_and_ledger_keep_the_order_of_writing(self, store: Store) -> None:
        """The order is kept across calls, and if the times run backward."""
        spans = [SpanRecord("r", 0, Span(Phase.EXECUTE, 100 - i, 200 - i, i, 0, None)) for i in range(19)]
        spans.append(SpanRecord("r", 0, Span(Phase.QUEUE, 1, 2, 3, 0, "j", resolution_ns=7, source=TimeSource.POLLS)))
        entries = [LedgerRecord("r", "r/0.0.0", EntryKind.SPENT, "USD", 20 - i, _after(-i)) for i in range(20)]
        store.write([*spans[:7], *entries[:7]])
        store.write([*spans[7:], *entries[7:], LedgerRecord("r", None, EntryKind.ADJUSTED, "EUR", -1, NOW)]).result()
        assert store.spans("r") == spans
        assert store.ledger("r")[:-1] == entries
        assert store.ledger()[-1].job_id is None
        assert store.ledger("other") == []

    def test_the_newest_checkpoint_is_found(self, store: Store) -> None:
        """Of three checkpoints, the last is found; of none, None."""
        assert store.last_checkpoint("r") is None
        points = [CheckpointRecord("r", Position(i, 0), bytes([i]) * 9, NOW) for i in range(3)]
        for point in points:
            store.write([point])
        store.write([]).result()
        assert store.last_checkpoint("r") == points[-1]

    def test_blocks_are_found_by_position(self, store: Store) -> None:
        """Oldest first, of that call only; a block without a time is given one."""
        blocks = [
            replace(with_rows(make_block(3), group=group), position=Position(0, group // 2)) for group in range(4)
        ]
        store.write([*blocks[:3]])
        store.write([replace(blocks[3], created_at=None)]).result()
        assert [block.rows.group for block in store.blocks_at("r", HERE)] == [0, 1]
        assert store.blocks_at("r", Position(7, 0)) == []
        assert all(block.created_at is not None for block in store.blocks_at("r", Position(0, 1)))

    def test_blocks_are_found_by_identity(self, store: Store) -> None:
        """All three digests count; ids ascend, and a look-up may begin after one."""
        blocks = [make_block(rows) for rows in (1, 2, 3)]
        others = [
            with_rows(make_block(4), context=b"\xff" * 32),
            replace(make_block(4), measurement_digest=b"\xff" * 32),
            with_rows(make_block(4), gates_digest=b"\xff" * 32),
        ]
        store.write([*blocks, *others]).result()
        found = store.block_keys(CONTEXT, MEASUREMENT, GATES)
        assert [len(keys.keys) for keys in found] == [1, 2, 3]
        for keys, block in zip(found, blocks, strict=True):
            np.testing.assert_array_equal(keys.keys, block.rows.keys)
            assert_same_samples(keys.samples, block.rows.samples)
        later = store.block_keys(CONTEXT, MEASUREMENT, GATES, after_block_id=found[0].block_id)
        assert [keys.block_id for keys in later] == [keys.block_id for keys in found[1:]]

    def test_results_are_read_by_id(self, store: Store) -> None:
        """Those that exist, whatever their order; an unknown id is left out."""
        blocks = [make_block(rows) for rows in (1, 2, 3)]
        store.write(blocks).result()
        ids = [keys.block_id for keys in store.block_keys(CONTEXT, MEASUREMENT, GATES)]
        results = store.block_results([ids[2], ids[0], 10**6])
        assert set(results) == {ids[0], ids[2]}
        assert_same_result(results[ids[2]], blocks[2].result)

    def test_ids_of_pruned_blocks_do_not_come_back(self, store: Store) -> None:
        """An id that a caller remembers must never name another block."""
        store.write([make_block(1)]).result()
        (before,) = store.block_keys(CONTEXT, MEASUREMENT, GATES)
        store.prune()
        store.write([make_block(1)]).result()
        (after,) = store.block_keys(CONTEXT, MEASUREMENT, GATES)
        assert after.block_id > before.block_id

    def test_prune_deletes_rows_and_nothing_else(self, store: Store) -> None:
        """Blocks are deleted by run, by age, or by both; jobs and runs stay."""
        store.write([make_run("s"), make_job("s/0.0.0")]).result()
        old = [replace(make_block(rows), created_at=_after(-rows)) for rows in (1, 2)]
        other = replace(make_block(4), run_id="s", job_id="s/0.0.0", created_at=_after(-9))
        store.write([*old, other]).result()
        assert store.prune(run_id="r", before=_after(-1)) == 2
        assert [len(block.rows) for block in store.blocks_at("r", HERE)] == [1]
        assert store.prune(run_id="s") == 4
        assert store.prune() == 1
        assert store.cache_statistics().rows == 0
        assert len(store.jobs()) == 2
        assert len(store.runs()) == 2

    def test_statistics_add_up(self, store: Store) -> None:
        """The totals are the sums over runs."""
        empty = store.cache_statistics()
        assert (empty.blocks, empty.rows, empty.bytes, empty.runs) == (0, 0, 0, ())
        store.write([make_run("s"), make_job("s/0.0.0")])
        store.write([make_block(5), make_block(6), replace(make_block(7), run_id="s", job_id="s/0.0.0")])
        store.write([]).result()
        found = store.cache_statistics()
        assert (found.blocks, found.rows) == (3, 18)
        assert [(run, rows) for run, rows, _ in found.runs] == [("r", 11), ("s", 7)]
        assert found.bytes == sum(size for _, _, size in found.runs) >= 18 * 32

    @pytest.mark.parametrize(
        "bad",
        [
            make_job("x/0.0.0"),
            RunMove("x", RunState.DONE),
            StopRequest("x", NOW),
            AttemptRecord("x/0.0.0", 0, "key", NOW),
            replace(make_block(2), job_id="x/0.0.0"),
        ],
        ids=lambda record: type(record).__name__,
    )
    def test_a_call_is_whole_or_not_at_all(self, store: Store, bad: Write) -> None:
        """A call with one record that names an unknown run or job fails alone and leaves nothing."""
        good = [store.write([make_job(f"r/1.0.{i}")]) for i in range(3)]
        failed = store.write([make_job("r/2.0.0"), make_block(1), bad])
        good.append(store.write([make_job("r/1.0.3")]))
        with pytest.raises(StoreError, match=r"\S"):
            failed.result()
        for future in good:
            future.result()
        assert [job.job_id for job in store.jobs("r")] == ["r/0.0.0", *(f"r/1.0.{i}" for i in range(4))]
        assert store.blocks_at("r", HERE) == []

    def test_what_is_no_record_is_refused(self, store: Store) -> None:
        """The future fails; the store goes on."""
        with pytest.raises(StoreError, match="dict"):
            store.write([{"run_id": "r"}]).result()  # type: ignore[list-item]
        store.write([make_job("r/0.0.1")]).result()

    def test_parents_and_children_share_a_call_in_any_order(self, store: Store) -> None:
        """A run, its job and its block in one call, children first."""
        block = replace(make_block(2), run_id="s", job_id="s/0.0.0")
        store.write([block, make_job("s/0.0.0"), make_run("s")]).result()
        assert len(store.blocks_at("s", HERE)) == 1

    def test_a_cancelled_waiter_does_not_take_the_write_with_it(self, store: Store) -> None:
        """Cancelling the future does not cancel the write, on which later writes build."""
        future = store.write([make_job("r/0.0.7")])
        future.cancel()
        store.write([]).result()
        assert not future.cancelled()
        assert [job.job_id for job in store.jobs("r")][-1] == "r/0.0.7"

    def test_threads_write_and_read_at_once(self, store: Store) -> None:
        """Each thread's writes keep their order, none is lost, and each is seen once its future is done."""

        def work(thread: int) -> None:
            for number in range(25):
                job = make_job(f"r/{thread}.0.{number}", position=Position(thread, 0))
                store.write([job]).result()
                assert job in store.jobs("r")

        with ThreadPoolExecutor(8) as pool:
            done, _ = wait([pool.submit(work, thread) for thread in range(8)])
        assert [future.exception() for future in done] == [None] * 8
        for thread in range(8):
            mine = [job.job_id for job in store.jobs("r") if job.position.step == thread and thread]
            assert mine == [f"r/{thread}.0.{number}" for number in range(25) if thread]

    def test_the_last_of_many_queued_moves_stands(self, store: Store) -> None:
        """Calls that are applied together still apply in their order."""
        states = [JobState.RESERVED, JobState.INTENT, JobState.SUBMITTED, JobState.DONE] * 50
        for number, state in enumerate(states):
            store.write([replace(make_job("r/0.0.0"), state=state, attempts=number)])
        store.write([]).result()
        assert [(job.state, job.attempts) for job in store.jobs("r")] == [(JobState.DONE, 199)]

    def test_a_run_is_claimed_once(self, store: Store) -> None:
        """A second claim is refused by name; another run is free; leaving frees the claim."""
        again = store.claim_run("a/b c")
        with store.claim_run("a/b c"), store.claim_run("other"):
            with pytest.raises(RunBusyError, match="a/b c"):
                again.__enter__()
            with pytest.raises(RunBusyError), store.claim_run("a/b c"):
                pass
        with store.claim_run("a/b c"):
            pass

    def test_a_closed_store_says_so(self, open_store: Callable[[], Store]) -> None:
        """Closing twice is fine; writing or reading afterwards is a StoreError."""
        store = open_store()
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.write([make_run("r")]).result()
        with pytest.raises(StoreError, match="closed"):
            store.runs()

    def test_everything_survives_reopening(self, open_store: Callable[[], Store]) -> None:
        """Close makes all writes durable, awaited or not; the store keeps its id."""
        self.needs_persistence()
        first = open_store()
        block = make_block(3)
        first.write([make_run("r"), make_job("r/0.0.0")])
        first.write([block, CheckpointRecord("r", HERE, b"state", NOW)])
        store_id = first.store_id
        first.close()
        second = open_store()
        assert second.store_id == store_id
        assert second.runs() == [make_run("r")]
        assert_same_block(second.blocks_at("r", HERE)[0], block)
        assert second.last_checkpoint("r") is not None
        second.close()

    def test_two_objects_share_one_store(self, store: Store, open_store: Callable[[], Store]) -> None:
        """What one has written the other reads, and the claims of one bind the other."""
        self.needs_persistence()
        other = open_store()
        other.write([make_job("r/0.0.1")]).result()
        assert [job.job_id for job in store.jobs("r")] == ["r/0.0.0", "r/0.0.1"]
        with store.claim_run("r"), pytest.raises(RunBusyError), other.claim_run("r"):
            pass
        other.close()

    def test_the_kernel_frees_the_claim_of_a_killed_process(self, store: Store, opening_code: str) -> None:
        """Another process's claim binds this one, names its pid, and ends with kill -9."""
        self.needs_persistence()
        claim = "claim = store.claim_run('r')\nclaim.__enter__()\nprint('held', flush=True)\ninput()"
        holder = start_python(f"{opening_code}\n{claim}")
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunBusyError, match=str(holder.pid)), store.claim_run("r"):
            pass
        holder.kill()
        holder.communicate(timeout=_PATIENCE_SECONDS)
        with store.claim_run("r"):
            pass


def _after(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)
