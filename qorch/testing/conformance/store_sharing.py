"""The part of the Store contract that processes share: claims on runs and rows, requests to stop, and shared states."""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qorch.errors import BudgetError, RunBusyError, StoreError
from qorch.model.arrays import ByteArray
from qorch.model.identity import KEY_BYTES
from qorch.model.job import JobState
from qorch.ports.records import Change, ReleasedRows, RunMove, RunState, StopRequest, Write
from qorch.ports.store import Store
from qorch.testing.conformance.store_fixtures import StoreFixtures
from qorch.testing.conformance.store_records import HERE, NOW, make_block, make_job, make_plan, make_run, start_python

_PATIENCE_SECONDS = 120
_INCREMENT = """
import json
from qorch.ports.records import Change
def grow(state, _now_ns):
    count = int(state or b"0") + 1
    return Change(str(count).encode(), count)
print(json.dumps([store.update_shared_state("a", grow).result() for _ in range(200)]))
store.close()
"""
_RESERVE = """
from qorch.testing.conformance.store_sharing import reserve
while True:
    print(store.update_shared_state("a", reserve).result(), flush=True)
"""
_LOOK = """
print("looking", flush=True)
while True:
    store.holder_of("r")
"""
_CLAIM = """
import json, sys
import numpy as np
me, first = json.loads(sys.stdin.readline())
claims = np.random.default_rng(5).integers(0, 256, (600, 32)).astype(np.uint8)
owners = {}
for start in range(first, first + 400, 20):
    chunk = range(start, start + 20)
    owners.update(zip(chunk, store.claim_rows(me, claims[start:start + 20]).result()))
print(json.dumps(owners))
store.close()
"""


def grow(state: bytes | None, _now_ns: int) -> Change[int]:
    """Count the changes of a shared state."""
    count = int(state or b"0") + 1
    return Change(str(count).encode(), count)


def reserve(state: bytes | None, _now_ns: int) -> Change[int]:
    """Count one more, and write a job of that number with it."""
    count = int(state or b"0") + 1
    return Change(str(count).encode(), count, writes=[make_job(f"r/1.0.{count}")])


def refuse(_state: bytes | None, _now_ns: int) -> Change[int]:
    """Refuse the change, as a budget check would."""
    raise BudgetError("no money left")


def read(state: bytes | None, _now_ns: int) -> Change[bytes | None]:
    """The state as it is."""
    return Change(state, state)


def tell_time(state: bytes | None, now_ns: int) -> Change[int]:
    """The time of the store; the state stays."""
    return Change(state, now_ns)


def forget(_state: bytes | None, _now_ns: int) -> Change[str]:
    """Delete the shared state."""
    return Change(None, "gone")


def make_claims(*numbers: int) -> ByteArray:
    """A claim for each number, ``(R, 32)``."""
    claims = np.zeros((len(numbers), KEY_BYTES), dtype=np.uint8)
    claims[:, -1] = numbers
    return claims


class StoreSharingConformance(StoreFixtures):
    """See StoreConformance."""

    def test_a_run_is_asked_to_stop(self, store: Store) -> None:
        """A request stays over moves and over writing the run again, until it is taken back; other runs have none."""
        store.write([make_run("s")]).result()
        assert store.stop_asked("r") is None
        store.write([StopRequest("r", NOW)]).result()
        store.write([RunMove("r", RunState.STOPPED), make_run("r")]).result()
        run = store.find_run("r")
        assert run is not None
        assert store.stop_asked("r") == run.stop_asked_at == NOW
        assert store.stop_asked("s") is None
        assert store.stop_asked("nobody") is None
        store.write([StopRequest("r", None)]).result()
        assert store.stop_asked("r") is None

    def test_a_run_is_open_once(self, store: Store) -> None:
        """A second claim in one process says that it is open here, and whose process that is; then it is free again."""
        with store.claim_run("r"):
            with pytest.raises(RunBusyError, match="open in this process") as caught, store.claim_run("r"):
                pass
            assert caught.value.pid == os.getpid()
        with store.claim_run("r"):
            pass

    def test_a_shared_state_changes_one_after_the_other(self, store: Store) -> None:
        """Each change gets what the one before it left; states of other names are apart; the values come back."""
        futures = [store.update_shared_state("a", grow) for _ in range(50)]
        assert [future.result() for future in futures] == list(range(1, 51))
        assert store.update_shared_state("b", grow).result() == 1
        assert store.update_shared_state("a", read).result() == b"50"
        assert store.update_shared_state("nobody", read).result() is None

    def test_a_shared_state_keeps_any_bytes(self, store: Store) -> None:
        """Empty bytes are kept too, which is not the same as no state."""
        for state in (b"", b"\x00\xff" * 5000):
            store.update_shared_state("a", lambda _, _now_ns, state=state: Change(state, None)).result()  # type: ignore[misc]
            assert store.update_shared_state("a", read).result() == state

    def test_a_deleted_state_starts_anew(self, store: Store) -> None:
        """State None deletes; deleting a state that does not exist is not an error."""
        assert store.update_shared_state("a", forget).result() == "gone"
        store.update_shared_state("a", grow).result()
        store.update_shared_state("a", forget).result()
        assert store.update_shared_state("a", read).result() is None

    def test_a_change_that_raises_fails_alone(self, store: Store) -> None:
        """Its future has that very error, the state is as it was, and the neighbours of the call are applied."""
        futures = [
            store.update_shared_state("a", grow),
            store.update_shared_state("a", refuse),
            store.update_shared_state("a", grow),
        ]
        written = store.write([make_job("r/0.0.1")])
        with pytest.raises(BudgetError, match="no money left"):
            futures[1].result()
        assert [futures[0].result(), futures[2].result()] == [1, 2]
        written.result()
        assert [job.job_id for job in store.jobs("r")] == ["r/0.0.0", "r/0.0.1"]

    def test_a_change_is_told_the_time_of_the_store(self, store: Store) -> None:
        """In nanoseconds, which do not go back."""
        times = [store.update_shared_state("a", tell_time).result() for _ in range(20)]
        assert all(type(now_ns) is int for now_ns in times)
        assert times == sorted(times)

    def test_a_change_writes_records_with_the_state(self, store: Store) -> None:
        """Of every kind, and in the order of the calls around it."""
        job = make_job("r/0.0.1")
        sent = replace(job, state=JobState.SUBMITTED)
        store.write([job])
        done = store.update_shared_state("a", lambda *_: Change(b"1", "value", [sent, make_block(2), make_plan()]))
        counts = store.write([make_job("r/0.0.2")]), store.update_shared_state("a", read)
        assert (done.result(), counts[1].result()) == ("value", b"1")
        assert [found.job_id for found in store.jobs("r")] == ["r/0.0.0", "r/0.0.1", "r/0.0.2"]
        assert [found.state for found in store.jobs("r")][1] is JobState.SUBMITTED
        assert len(store.blocks_at("r", HERE)) == 1
        assert store.job_plan("r/0.0.0") is not None

    def test_a_refused_change_leaves_neither_state_nor_records(self, store: Store) -> None:
        """Whether the change raises or one of its records cannot be stored; the neighbours of the call are applied."""
        bad: list[Write] = [make_job("r/0.0.1"), make_job("nobody/0.0.0")]
        before = store.update_shared_state("a", reserve)
        refused = store.update_shared_state("a", refuse)
        failed = store.update_shared_state("a", lambda *_: Change(b"77", 0, bad))
        unfit = store.update_shared_state("a", lambda *_: Change(b"77", 0, [make_job("r/0.0.1"), "no record"]))  # type: ignore[list-item]
        after = store.update_shared_state("a", reserve)
        with pytest.raises(BudgetError):
            refused.result()
        for future in (failed, unfit):
            with pytest.raises(StoreError):
                future.result()
        assert (before.result(), after.result()) == (1, 2)
        assert store.update_shared_state("a", read).result() == b"2"
        assert [job.job_id for job in store.jobs()] == ["r/0.0.0", "r/1.0.1", "r/1.0.2"]

    def test_a_killed_process_leaves_state_and_records_together(self, store: Store, opening_code: str) -> None:
        """Each number that was counted has its job, and each job its number."""
        self.needs_persistence()
        process = start_python(f"{opening_code}\n{_RESERVE}")
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(30)]
        process.kill()
        process.communicate(timeout=_PATIENCE_SECONDS)
        count = int(store.update_shared_state("a", read).result() or b"0")
        assert count >= seen[-1] == 30
        assert [job.job_id for job in store.jobs("r")][1:] == [f"r/1.0.{number}" for number in range(1, count + 1)]

    def test_looking_makes_no_claim_fail(self, store: Store, opening_code: str) -> None:
        """A run is claimed 200 times while two processes ask without a pause who holds it."""
        self.needs_persistence()
        lookers = [start_python(f"{opening_code}\n{_LOOK}") for _ in range(2)]
        try:
            for looker in lookers:
                assert looker.stdout is not None
                assert looker.stdout.readline() == "looking\n"
            for _ in range(200):
                with store.claim_run("r"):
                    assert store.holder_of("r") is not None
            assert [looker.poll() for looker in lookers] == [None, None]
        finally:
            for looker in lookers:
                looker.kill()
                looker.communicate(timeout=_PATIENCE_SECONDS)

    def test_threads_change_a_shared_state_at_once(self, store: Store) -> None:
        """No change is lost, and no value comes twice."""
        with ThreadPoolExecutor(4) as pool:
            parts = list(
                pool.map(lambda _: [store.update_shared_state("a", grow).result() for _ in range(25)], range(4))
            )
        assert sorted(value for part in parts for value in part) == list(range(1, 101))

    def test_a_row_has_one_owner(self, store: Store) -> None:
        """The first run to claim it; claiming again is fine; a claim may appear twice in one call, or none at all."""
        store.write([make_run("s")]).result()
        assert store.claim_rows("r", make_claims(1, 2, 2)).result() == ["r", "r", "r"]
        assert store.claim_rows("s", make_claims(3, 2, 4)).result() == ["s", "r", "s"]
        assert store.claim_rows("r", make_claims(4, 3, 2, 1)).result() == ["s", "s", "r", "r"]
        assert store.claim_rows("r", make_claims()).result() == []

    def test_many_rows_are_claimed_in_one_call(self, store: Store) -> None:
        """More than a statement may name, in the order of the claims."""
        store.write([make_run("s")]).result()
        claims = np.random.default_rng(3).integers(0, 256, (3000, KEY_BYTES)).astype(np.uint8)
        store.claim_rows("s", claims[::3]).result()
        assert store.claim_rows("r", claims).result() == ["s", "r", "r"] * 1000

    def test_released_rows_are_free(self, store: Store) -> None:
        """The named ones, or all of the run; those of another run are not given up by it."""
        store.write([make_run("s")]).result()
        store.claim_rows("r", make_claims(1, 2, 3)).result()
        store.claim_rows("s", make_claims(4)).result()
        store.write([ReleasedRows("r", make_claims(1, 4, 9))]).result()
        assert store.claim_rows("s", make_claims(1, 2)).result() == ["s", "r"]
        assert store.claim_rows("r", make_claims(4)).result() == ["s"]
        store.write([ReleasedRows("r")]).result()
        assert store.claim_rows("s", make_claims(2, 3)).result() == ["s", "s"]

    def test_claims_and_releases_keep_their_order(self, store: Store) -> None:
        """The order is kept even if they are applied together."""
        store.write([make_run("s")]).result()
        futures = []
        for run_id in ("r", "s") * 10:
            futures.append(store.claim_rows(run_id, make_claims(1)))
            store.write([ReleasedRows(run_id)])
        assert [future.result() for future in futures] == [["r"], ["s"]] * 10

    def test_a_claim_needs_its_run(self, store: Store) -> None:
        """As everything that belongs to a run; the run may be written just before."""
        with pytest.raises(StoreError, match=r"\S"):
            store.claim_rows("nobody", make_claims(1)).result()
        store.write([make_run("s")])
        assert store.claim_rows("s", make_claims(1)).result() == ["s"]

    def test_a_closed_store_takes_no_claims(self, open_store: Callable[[], Store]) -> None:
        """Neither rows nor shared states."""
        store = open_store()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.claim_rows("r", make_claims(1)).result()
        with pytest.raises(StoreError, match="closed"):
            store.update_shared_state("a", grow).result()

    def test_processes_change_a_shared_state_at_once(self, store: Store, opening_code: str) -> None:
        """Eight of them, 200 times each, end at 1,600, and no two were given the same value."""
        self.needs_persistence()
        parts = _outputs(opening_code + _INCREMENT, inputs=[""] * 8)
        assert sorted(value for part in parts for value in part) == list(range(1, 1601))
        assert store.update_shared_state("a", read).result() == b"1600"

    def test_processes_claim_rows_at_once(self, store: Store, opening_code: str) -> None:
        """Both agree who owns each row, also if claims overlap; a row that only one of them claimed is its own."""
        self.needs_persistence()
        store.write([make_run("s")]).result()
        mine, theirs = _outputs(opening_code + _CLAIM, inputs=['["r", 0]\n', '["s", 200]\n'])
        assert all(mine[row] == theirs[row] for row in mine.keys() & theirs.keys())
        assert all(mine[str(row)] == "r" for row in range(200))
        assert all(theirs[str(row)] == "s" for row in range(400, 600))
        claims = np.random.default_rng(5).integers(0, 256, (600, KEY_BYTES)).astype(np.uint8)
        assert store.claim_rows("r", claims).result() == [{**mine, **theirs}[str(row)] for row in range(600)]


def _outputs(code: str, *, inputs: Sequence[str]) -> list[Any]:
    """What processes print that run this code at the same time, read as JSON."""
    processes = [start_python(f"\n{code}") for _ in inputs]
    for process, text in zip(processes, inputs, strict=True):
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.flush()
    outputs = [process.communicate(timeout=_PATIENCE_SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(output) for output in outputs]
