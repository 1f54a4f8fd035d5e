"""Several loops in one run, as with one `run.steps` for every epoch: resumed to the bit, and counted as one run."""

from contextlib import suppress
from functools import partial

import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch import wiring
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.run.checkpoint.codec import decode_state, encode_state
from qorch.run.checkpoint.loop import Checkpoint, encode_checkpoint
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

N_EPOCHS = 3
N_BATCHES = 3


class CrashError(Exception):
    """Ends a training in the middle."""


class Training:
    """A model whose rate of learning follows what is measured between the loops, and its data in random order."""

    def __init__(self, *, has_generator: bool) -> None:
        """The same weights and the same order every time, drawn by the loader's own generator or torch's."""
        torch.manual_seed(3)
        angles = ParameterVector("a", 3)
        circuit = QuantumCircuit(2)
        circuit.ry(angles[0], 0)
        circuit.rx(angles[1], 1)
        circuit.cx(0, 1)
        circuit.ry(angles[2], 1)
        self.model = qorch.QuantumLayer(
            circuit, inputs=angles[:1], weights=angles[1:], observables=["Z0", "Z1"], shots=30
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.2)
        self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=0)
        self.data = torch.utils.data.TensorDataset(torch.rand(2 * N_BATCHES, 1))
        order = torch.Generator().manual_seed(8) if has_generator else None
        self.loader = torch.utils.data.DataLoader(self.data, batch_size=2, shuffle=True, generator=order)

    @property
    def saved(self) -> tuple[qorch.QuantumLayer, torch.optim.Adam, torch.optim.lr_scheduler.ReduceLROnPlateau]:
        """All that changes."""
        return self.model, self.optimizer, self.scheduler

    def learn(self, batch: torch.Tensor) -> None:
        """One step."""
        loss = ((self.model(batch) - torch.rand(())) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def measure(self) -> None:
        """What is done between two loops: it executes circuits, and uses random numbers."""
        with torch.no_grad():
            self.scheduler.step(float(self.model(torch.rand(2, 1)).mean()))


def start(store: MemoryStore, *, resume: bool = False, show: list[Progress] | None = None) -> qorch.Run:
    """A run on the fake."""
    shown: list[Progress] = [] if show is None else show
    return qorch.start_run("loops", backend=FakeBackend(), db=store, seed=5, resume=resume, progress=shown.append)


def train(
    store: MemoryStore,
    *,
    resume: bool = False,
    crash_at: int | None = None,
    is_saved_by_hand: bool = False,
    has_generator: bool = False,
) -> tuple[bytes, list[int]]:
    """One loop for every epoch: all states at the end, and the steps that were trained."""
    training = Training(has_generator=has_generator)
    steps = []
    try:
        with start(store, resume=resume) as run:
            for _ in range(N_EPOCHS):
                for (batch,) in run.steps(training.loader, save=training.saved):
                    if run.current_step == crash_at:
                        raise CrashError
                    training.learn(batch)
                    steps.append(run.current_step)
                training.measure()
                if is_saved_by_hand:
                    run.checkpoint(*training.saved)
    except CrashError:
        assert crash_at is not None
    return encode_state([item.state_dict() for item in training.saved]), steps


@pytest.mark.parametrize("crash_at", [0, 1, 3, 5, 6, 8])
@pytest.mark.parametrize(("seconds", "has_generator"), [(0.0, False), (1e9, False), (0.0, True)])
def test_one_loop_for_every_epoch_resumes_to_the_bit(
    crash_at: int, seconds: float, has_generator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loops that are done yield nothing, the one that broke off goes on, and all states end as they would have."""
    monkeypatch.setattr(wiring, "RunPolicy", partial(RunPolicy, checkpoint_seconds=seconds))
    whole, _ = train(MemoryStore(WallClock()), has_generator=has_generator)
    store = MemoryStore(WallClock())
    _, before = train(store, crash_at=crash_at, has_generator=has_generator)
    resumed, after = train(store, resume=True, has_generator=has_generator)
    assert resumed == whole
    saved = crash_at if seconds == 0.0 else crash_at // N_BATCHES * N_BATCHES
    assert before == list(range(crash_at))
    assert after == list(range(saved, N_EPOCHS * N_BATCHES))


@pytest.mark.parametrize("has_generator", [False, True])
def test_a_checkpoint_between_two_loops_does_not_begin_them_anew(has_generator: bool) -> None:
    """Saved by hand after an epoch, and after what is measured there, the run goes on with the next one."""
    by_hand = partial(train, is_saved_by_hand=True, has_generator=has_generator)
    whole, _ = by_hand(MemoryStore(WallClock()))
    store = MemoryStore(WallClock())
    by_hand(store, crash_at=2 * N_BATCHES)
    resumed, steps = by_hand(store, resume=True)
    assert resumed == whole
    assert steps == list(range(2 * N_BATCHES, N_EPOCHS * N_BATCHES))


def test_a_finished_run_that_is_run_again_trains_nothing() -> None:
    """Every loop of it is done, and the states are those of its end."""
    store = MemoryStore(WallClock())
    whole, _ = train(store, is_saved_by_hand=True)
    again, steps = train(store, resume=True, is_saved_by_hand=True)
    assert steps == []
    assert decode_state(again)[0].keys() == decode_state(whole)[0].keys()
    assert torch.equal(decode_state(again)[0]["weights"], decode_state(whole)[0]["weights"])


def test_progress_counts_the_steps_of_earlier_loops() -> None:
    """No step is beyond the total, none takes less than no time, and the total is that of all loops so far."""
    store, shown = MemoryStore(WallClock()), list[Progress]()
    for resume in (False, True):
        with suppress(CrashError), start(store, resume=resume, show=shown) as run:
            for _ in run.steps(range(4), epochs=2):
                pass
            for number in run.steps(range(3)):
                if not resume and number == 1:
                    raise CrashError
    assert [(item.step, item.total_steps) for item in shown[:8]] == [(step, 8) for step in range(8)]
    assert [(item.step, item.total_steps) for item in shown[8:]] == [(8, 11), (8, 11), (9, 11), (10, 11)]
    assert all(item.remaining_seconds is not None and item.remaining_seconds >= 0 for item in shown)


def test_an_older_checkpoint_is_that_of_the_first_loop() -> None:
    """Before loops were numbered there was one."""
    tree = decode_state(encode_checkpoint([], metrics={}, loop=None))
    found = Checkpoint.decode(encode_state(tree | {"loop": [1, 2, tree["random"]]}))
    assert found.loop is not None
    assert (found.loop.epoch, found.loop.batches, found.loop.ordinal) == (1, 2, 0)


class Endless(torch.utils.data.IterableDataset[int]):
    """Data that does not know how much it is."""

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Three numbers."""
        return iter(range(3))


def test_a_loader_without_a_length_has_no_total() -> None:
    """A torch loader over such data has a length that fails."""
    shown: list[Progress] = []
    with start(MemoryStore(WallClock()), show=shown) as run:
        assert len(list(run.steps(torch.utils.data.DataLoader(Endless(), batch_size=1)))) == 3
    assert [item.total_steps for item in shown] == [None] * 3
