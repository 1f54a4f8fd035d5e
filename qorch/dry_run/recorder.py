"""Records the calls of a run as they begin and end, from which other courses of the same training are drawn."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from qorch.dry_run.recording import RecordedCall, RecordedMoment, RecordedRun
from qorch.engine.planner import Call
from qorch.errors import QorchError, RunError
from qorch.model.identity import Position
from qorch.model.money import Money
from qorch.model.pub import Batch, Pub
from qorch.ports.policy import CachePolicy
from qorch.ports.records import RunRecord


class CallRecorder:
    """The calls of one run. ``closed_seconds``: when it was closed."""

    def __init__(
        self,
        record: RunRecord,
        *,
        seconds: Callable[[], float],
        computed_seconds: Callable[[], float],
        stored: frozenset[Position] = frozenset(),
    ) -> None:
        """The run is about to open.

        ``seconds``: virtual ones, of the thread that asks; ``computed_seconds``: which the loop has computed so far.
        ``stored``: the calls of earlier sessions of the run, which are not executed again, and so not recorded.
        """
        self._record = record
        self._seconds = seconds
        self._computed_seconds = computed_seconds
        self._calls: list[RecordedCall] = []
        self._stored = stored
        self._last_ended = -1
        self._ended_seconds = self._asked_seconds = self.closed_seconds = seconds()
        self._keeps_values = record.cache in {CachePolicy.REUSE.value, CachePolicy.TOP_UP.value}

    @property
    def run_id(self) -> str:
        """Whose calls they are."""
        return self._record.run_id

    @property
    def positions(self) -> frozenset[Position]:
        """Of all calls of the run so far."""
        return self._stored | {each.call.position for each in self._calls}

    @property
    def seed(self) -> int:
        """Of the run."""
        return self._record.seed

    @contextmanager
    def watching(self, call: Call) -> Iterator[None]:
        """Around a call, in the loop."""
        if call.position in self._stored:
            yield
            return
        place = len(self._calls)
        kept = call if self._keeps_values else without_values(call)
        # Run ids are drawn; the messages of two forecasts must be the same.
        kept = replace(kept, run_id=self._record.name)
        self._calls.append(RecordedCall(kept, self._last_ended, max(0.0, self._seconds() - self._ended_seconds)))
        computed_seconds = self._computed_seconds()
        try:
            yield
        except RunError:
            raise  # the run was closed meanwhile: its jobs stay at the provider, and are paid for
        except QorchError:
            self._calls[place] = replace(self._calls[place], is_refused=True)
            raise
        except asyncio.CancelledError:
            moment = RecordedMoment(self._last_ended, max(0.0, self._seconds() - self._ended_seconds))
            self._calls[place] = replace(self._calls[place], taken_back=moment)
            raise
        finally:
            own = self._computed_seconds() - computed_seconds
            self._calls[place] = replace(self._calls[place], own_seconds=max(0.0, own))
            self._last_ended, self._ended_seconds = place, self._seconds()

    def begin(self) -> None:
        """The run is open: the training loop goes on from here, in the calling thread."""
        self._ended_seconds = self._seconds()

    def ask(self) -> None:
        """The calling thread asks for anything: what it asks for last of all is to close the run."""
        self._asked_seconds = self._seconds()

    def end(self) -> None:
        """The run is closed."""
        self.closed_seconds = self._seconds()

    def make_recording(self, *, budget: Money | None) -> RecordedRun:
        """All of it, now that the run is closed. ``budget``: see RecordedRun."""
        compute = max(0.0, self._asked_seconds - self._ended_seconds)
        record = self._record
        return RecordedRun(record.name, record.seed, tuple(self._calls), compute, record.cache, budget)


def without_values(call: Call) -> Call:
    """The call with one row of values in place of all, each time anew, which takes no memory for the others.

    Only of pubs with shots: rows are compared, and duplicates left out, where values are exact.
    """
    pubs = tuple(_repeat(pub, call.default_shots) for pub in call.batch.pubs)
    return replace(call, batch=Batch(pubs))


def _repeat(pub: Pub, default_shots: int | None) -> Pub:
    if pub.shots_or(default_shots) is None or pub.n_rows < 2:
        return pub
    return pub.with_first_row()


def with_shots(run: RecordedRun, shots: int) -> RecordedRun:
    """The recording with other shots wherever there are any."""
    calls = tuple(replace(each, call=_with_shots(each.call, shots)) for each in run.calls)
    return replace(run, calls=calls)


def _with_shots(call: Call, shots: int) -> Call:
    pubs = (pub if pub.shots_or(call.default_shots) is None else pub.with_shots(shots) for pub in call.batch.pubs)
    return replace(call, batch=Batch(tuple(pubs)))
