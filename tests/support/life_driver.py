"""A light program that buys rows from an emulator of a vendor's service, step by step, and can be killed at any moment.

``python life_driver.py live LIFE`` lives one life; ``nurse VENDOR`` is a nursery, which lives one for each line of its
input, in a fork of itself: so a life starts in milliseconds, and a random kill strikes work and not the loading of
modules. A LIFE is JSON.
"""

import hashlib
import json
import os
import select
import signal
import sys
import tempfile
import time
from contextlib import closing
from functools import partial

import msgspec
import numpy as np
from submission_steps import count_calls, kill_at
from vendors import vendor_named

from qorch.errors import QorchError, UnknownOutcomeError
from qorch.model.circuit import Circuit, build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.pub import Pub
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.ports.store import Store
from qorch.stores import open_store
from qorch.wiring import start_run

HELD, STOPPED = 4, 128 + signal.SIGINT
N_CERTAIN = 7
"""Qubits of rows that have one outcome: enough for 128 rows."""
LONGEST_SECONDS = 120.0
"""No life lasts longer: it is killed, and the campaign sees that it never ended."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What a life is to do, and where it ends before its time.

    ``root``: of the emulator; ``options``: of the vendor's backend. ``rows`` of every one of ``steps``, of ``shots``
    each; ``is_certain``: each row has one outcome, which tells its number, so that no randomness is in the results;
    otherwise a vendor's samples must be seeded if lives are to be compared. ``die_at``: a named step, at its
    ``die_number``-th time. ``die_after_seconds``: in the nursery only.
    """

    vendor: str
    db: str
    root: str
    options: str
    name: str = "driven"
    steps: int = 5
    rows: int = 8
    shots: int = 30
    seed: int = 1
    cache: str | None = None
    is_certain: bool = False
    die_at: str | None = None
    die_number: int = 1
    die_after_seconds: float | None = None


class Death(msgspec.Struct, frozen=True):
    """How a life ended: its exit code (-9 where it was killed), what it said, and how long it lasted."""

    code: int
    said: str
    seconds: float


def live(life: Life) -> int:
    """Start the run, or go on with it, and work to its end; the exit code."""
    # The process that started this one may have it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with closing(open_store(life.db, clock=WallClock())) as store:
            vendor = vendor_named(life.vendor)
            backend = vendor.open_backend(life.options, clock=WallClock(), environment=vendor.environment(life.root))
            if life.die_at is not None:
                count = partial(count_calls, life.root, vendor.routes)
                kill_at(life.die_at, life.die_number, backend=backend, store=store, count=count)
            _train(life, backend, store)
    except UnknownOutcomeError as error:
        return _end(HELD, held=str(error))
    except QorchError as error:
        return _end(1, error=str(error), kind=type(error).__name__)
    except KeyboardInterrupt:
        return _end(STOPPED, stopped=f"the same life resumes run {life.name}")
    return 0


def _train(life: Life, backend: RemoteBackend, store: Store) -> None:
    run = start_run(
        life.name,
        backend=backend,
        db=store,
        seed=life.seed,
        shots=life.shots,
        cache=life.cache,
        resume=True,
        progress=lambda _: None,
    )
    circuit = make_circuit(life)
    counts = []
    with run:
        _say(run=run.run_id)
        for step in range(life.steps):
            with run.step(step):
                [result] = run.execute(Pub(circuit, make_angles(life, step)))
            counts.append([result.counts(row) for row in range(life.rows)])
            _say(step=step, executed=run.totals.rows_executed)
    text = json.dumps(counts, sort_keys=True)
    _say(done=hashlib.sha256(text.encode()).hexdigest(), executed=run.totals.rows_executed)


def make_circuit(life: Life) -> Circuit:
    """Two qubits, two angles, and outcomes that tell the bit order; or one rotation of each of some qubits."""
    ry, cx, rx = (GATES_BY_NAME[name].opcode for name in ("ry", "cx", "rx"))
    if life.is_certain:
        return free_circuit(build_gate_list(N_CERTAIN, [(rx, (qubit,), (None,)) for qubit in range(N_CERTAIN)]))
    return free_circuit(build_gate_list(2, [(ry, (0,), (None,)), (cx, (0, 1), ()), (rx, (1,), (None,))]))


def make_angles(life: Life, step: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Radians ``(rows, angles)``, all different over all steps; certain rows flip the qubits of their number's bits."""
    numbers = step * life.rows + np.arange(life.rows)
    if life.is_certain:
        return np.pi * ((numbers[:, np.newaxis] >> np.arange(N_CERTAIN)) & 1)
    return np.stack([0.3 + 0.01 * numbers, 1.1 - 0.02 * numbers], axis=1)


def _say(**fields: object) -> None:
    # One write: a process that is killed leaves whole lines.
    os.write(1, json.dumps(fields).encode() + b"\n")


def _end(code: int, **fields: object) -> int:
    _say(**fields)
    return code


def nurse(vendor: str) -> None:
    """Live the lives that standard input names, one after the other, and say how each ended."""
    vendor_named(vendor).load()
    _load_everything()
    for line in sys.stdin:
        os.write(1, msgspec.json.encode(_bear(msgspec.json.decode(line, type=Life))) + b"\n")


def _load_everything() -> None:
    """Open a store once, which loads what is otherwise loaded by every life."""
    with tempfile.TemporaryDirectory() as folder:
        open_store(f"{folder}/x.db", clock=WallClock()).close()


def _bear(life: Life) -> Death:
    started = time.monotonic()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _live_in_fork(life, writer)
    os.close(writer)
    said = b""
    deadline = started + (life.die_after_seconds or LONGEST_SECONDS)
    # Only the child has the other end: it is over when nothing more can come.
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(reader, 65536)
        if not part:
            break
        said += part
    else:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(reader)
    return Death(code, said.decode(), time.monotonic() - started)


def _live_in_fork(life: Life, writer: int) -> None:
    code = 1
    try:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.close(writer)
        code = live(life)
    except BaseException as error:  # the fork must never return to the nursery's loop
        _say(crashed=repr(error))
    finally:
        os._exit(code)


if __name__ == "__main__":
    what, given = sys.argv[1:]
    if what == "live":
        sys.exit(live(msgspec.json.decode(given, type=Life)))
    nurse(given)
