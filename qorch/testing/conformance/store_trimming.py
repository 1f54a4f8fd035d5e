"""The part of the Store contract about results of free backends: which are deleted, in which order, and which stay."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from qorch.model.identity import Position
from qorch.ports.records import CheckpointRecord, RunMove, RunState, Write
from qorch.ports.statistics import Trimmed
from qorch.ports.store import Store
from qorch.testing.conformance.store_records import HERE, NOW, make_block, make_job, make_run

_BEFORE_STEPS = Position(-1, 0)


class StoreTrimmingConformance:
    """Part of StoreConformance."""

    def test_the_oldest_free_results_go_first(self, store: Store) -> None:
        """Trimming deletes the oldest results of all free runs, and no more than the bound requires."""
        for run_id in ("a", "b"):
            store.write(_free_run(run_id, state=RunState.DONE)).result()
        for step in range(4):
            for run_id in ("a", "b"):
                store.write([_block(run_id, Position(step, 0))]).result()
        half = store.cache_statistics().free_bytes // 2 + 4 * 1_000
        trimmed = _trim(store, half)
        assert sum(piece.rows for piece in trimmed) == 4 * 3
        for run_id in ("a", "b"):
            assert _steps(store, run_id, 4) == [2, 3]
        assert _trim(store, half) == [Trimmed(0, 0, has_more=False)]

    def test_what_a_resume_needs_is_kept(self, store: Store) -> None:
        """Results before the first step and from the last checkpoint on stay, and all without a checkpoint."""
        store.write([*_free_run("a"), *_free_run("b")]).result()
        places = [_BEFORE_STEPS, Position(0, 0), Position(1, 0), Position(1, 1), Position(2, 0)]
        store.write([_block(run_id, place) for run_id in ("a", "b") for place in places]).result()
        store.write([CheckpointRecord("a", Position(1, 1), b"state", NOW)]).result()
        assert sum(piece.rows for piece in _trim(store, 0)) == 2 * 3
        left = [place for place in places if store.blocks_at("a", place)]
        assert left == [_BEFORE_STEPS, Position(1, 1), Position(2, 0)]
        assert all(store.blocks_at("b", place) for place in places)

    @pytest.mark.parametrize("state", [RunState.DONE, RunState.CANCELLED])
    def test_a_run_that_is_over_needs_nothing(self, store: Store, state: str) -> None:
        """Done or cancelled; one that failed or was stopped may be resumed."""
        store.write([*_free_run("a"), _block("a", _BEFORE_STEPS), _block("a", HERE)]).result()
        for unfinished in (RunState.STOPPED, RunState.FAILED):
            store.write([RunMove("a", unfinished)]).result()
            assert _trim(store, 0) == [Trimmed(0, 0, has_more=False)]
        store.write([RunMove("a", state)]).result()
        assert sum(piece.rows for piece in _trim(store, 0)) == 6
        assert store.cache_statistics().rows == 0

    def test_what_was_paid_for_stays(self, store: Store) -> None:
        """Results of a run that charges stay, and those of a run for which that was not recorded."""
        for run_id, charges in (("paid", True), ("unknown", None), ("free", False)):
            run = replace(make_run(run_id), charges=charges, state=RunState.DONE)
            store.write([run, make_job(f"{run_id}/0.0.0"), _block(run_id, HERE)]).result()
        found = store.cache_statistics()
        assert (found.rows, found.free_rows) == (9, 3)
        assert found.free_bytes * 3 == pytest.approx(found.bytes, rel=0.02)
        _trim(store, 0)
        assert [run for run, _, _ in store.cache_statistics().runs] == ["paid", "unknown"]
        assert store.cache_statistics().free_bytes == 0

    def test_statistics_follow_what_is_pruned(self, store: Store) -> None:
        """Both a user's prune and trimming update the statistics; shrinking afterwards loses nothing."""
        store.write([*_free_run("a"), *(_block("a", Position(step, 0)) for step in range(3))]).result()
        store.prune(run_id="a")
        assert store.cache_statistics().free_rows == 0
        store.write([_block("a", HERE)]).result()
        assert store.shrink() >= 0
        assert store.room().file_bytes >= store.room().unused_bytes
        assert store.cache_statistics().free_rows == 3
        assert len(store.blocks_at("a", HERE)) == 1


def _free_run(run_id: str, *, state: str = RunState.RUNNING) -> Sequence[Write]:
    return [replace(make_run(run_id), charges=False, state=state), make_job(f"{run_id}/0.0.0")]


def _block(run_id: str, position: Position) -> Write:
    return replace(make_block(3), run_id=run_id, job_id=f"{run_id}/0.0.0", position=position)


def _trim(store: Store, keep_bytes: int) -> list[Trimmed]:
    pieces = [store.trim_free(keep_bytes).result()]
    while pieces[-1].has_more:
        pieces.append(store.trim_free(keep_bytes).result())
    return pieces


def _steps(store: Store, run_id: str, n_steps: int) -> list[int]:
    return [step for step in range(n_steps) if store.blocks_at(run_id, Position(step, 0))]
