"""Whole runs against the emulator: a run whose submissions are watched, its work, and what the books say of it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from fast_clock import FastClock
from vendors import Vendor, VendorEmulator

import qorch
from qorch.errors import UnknownOutcomeError
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.job import JobState, Payload
from qorch.model.pub import Pub
from qorch.model.result import PubResult
from qorch.ports.store import Store
from qorch.run.run import Run
from qorch.stores import open_store
from qorch.testing.conformance.backend import gate_triple
from qorch.testing.reference import reference_parities, reference_probabilities

SHOTS = 4096
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass
class Sent:
    """One POST as the client saw it, in seconds of the monotonic clock; ``outcome`` None is acceptance."""

    key: str
    started_at: float
    ended_at: float = 0.0
    outcome: BaseException | None = None


@dataclass
class WatchedRun:
    """A run on an emulator, and every POST that it sent."""

    run: Run
    store: Store
    vendor: Vendor
    emulator: VendorEmulator
    sent: list[Sent] = field(default_factory=list)

    def accepted_by_key(self) -> dict[str, int]:
        """How many jobs the emulator accepted with each key."""
        counted: dict[str, int] = defaultdict(int)
        for job in self.emulator.jobs():
            counted[str(job["key"])] += 1
        return dict(counted)

    def check_submissions(self, *, settle_seconds: float) -> None:
        """No key was accepted twice, the books saw no POST unwatched, and none left while its key was in doubt."""
        calls = self.emulator.truth()["calls"]["by_route"]
        assert calls.get(self.vendor.routes["submit"], 0) <= len(self.sent), "something repeats calls unseen"
        assert all(count == 1 for count in self.accepted_by_key().values()), self.accepted_by_key()
        last: dict[str, Sent] = {}
        for sent in self.sent:
            before = last.get(sent.key)
            if before is not None:
                assert before.outcome is not None, "a job was sent again that was accepted"
                assert sent.started_at >= before.ended_at
                if isinstance(before.outcome, UnknownOutcomeError):
                    assert sent.started_at >= before.ended_at + settle_seconds
            last[sent.key] = sent


@contextmanager
def watched_run(
    vendor: Vendor,
    emulator: VendorEmulator,
    folder: Path,
    *,
    options: str,
    environment: Mapping[str, str] = MappingProxyType({}),
    resume: bool = False,
    scale: float = 1.0,
) -> Iterator[WatchedRun]:
    """Start a run on the vendor's backend, with a database in ``folder``; it is closed, and so is the database.

    ``environment``: what differs from the vendor's own for this emulator. ``scale``: how much faster than
    real the run's own waits pass.
    """
    clock = FastClock(scale)
    variables = vendor.environment(emulator.root) | environment
    backend = vendor.open_backend(options, clock=clock, environment=variables)
    sent: list[Sent] = []
    submit = backend.submit

    async def watch(payload: Payload) -> str:
        record = Sent(payload.key, clock.monotonic_ns() / 1e9)
        sent.append(record)
        try:
            return await submit(payload)
        except BaseException as error:
            record.outcome = error
            raise
        finally:
            record.ended_at = clock.monotonic_ns() / 1e9

    vars(backend)["submit"] = watch
    store = open_store(str(folder / "runs.db"), clock=clock)
    try:
        with qorch.start_run("wire", backend=backend, db=store, seed=7, resume=resume, clock=clock) as run:
            yield WatchedRun(run, store, vendor, emulator, sent)
    finally:
        store.close()


def work_of(n_rows: int, *, shots: int = SHOTS) -> Pub:
    """Rows of an asymmetric circuit of three qubits, of which Z0 and Z1 Z2 are wanted: one basis, one job."""
    gates = build_gate_list(
        3,
        [
            gate_triple("ry", (0,), None),
            gate_triple("cx", (0, 1)),
            gate_triple("rx", (2,), None),
            gate_triple("rzz", (2, 1), 0.7),
            gate_triple("ry", (1,), 0.4),
        ],
    )
    values = np.random.default_rng(3).uniform(-2.5, 2.5, (n_rows, 2))
    return Pub(free_circuit(gates), values, observables=["Z0", "Z1 Z2"], shots=shots)


def check_values(result: PubResult) -> None:
    """Every value lies within six standard errors of the exact one, which numpy computes."""
    pub = result.pub
    table = reference_probabilities(pub.circuit.gates, pub.parameter_values, basis=np.zeros(3, np.uint8))
    exact = reference_parities(table, np.array([0b001, 0b110], dtype=np.uint64))
    assert (np.abs(result.values - exact) <= 6 * np.maximum(result.stderr, 1 / np.asarray(pub.shots))).all()
    assert (result.shots == pub.shots).all()
