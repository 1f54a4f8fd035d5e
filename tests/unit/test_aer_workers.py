"""The aer backend's worker processes: lost, cancelled, orphaned, inherited; and the event loop beside them."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from qorch.errors import BackendError, WorkerLostError
from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.model.job import JobRequest, RawResult
from qorch.model.measurement import Measurement, RowBlock
from qorch.model.samples import Samples
from qorch.ports.clock import WallClock
from qorch.testing.conformance.in_process import execute_request, run_request
from qorch_providers.aer import AerBackend, open_backend
from qorch_providers.workers.pool import MAX_WORKERS_PER_JOB

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in (".", "providers", "jobs_db"))


def request_of(*, n_qubits: int, rows: int = 1, n_gates: int = 1, job_id: str = "job", **more: int) -> JobRequest:
    """RY on all qubits, so often; ``shots`` 100 unless told."""
    ry = GATES_BY_NAME["ry"].opcode
    gates = build_gate_list(n_qubits, [(ry, (g % n_qubits,), (None,)) for g in range(n_gates)])
    basis = Measurement(np.zeros(n_qubits, dtype=np.uint8), is_exact=False)
    names = np.arange(rows, dtype=np.uint64)
    angles = np.linspace(0.1, 1.0, rows * n_gates).reshape(rows, n_gates)
    return JobRequest(job_id, (RowBlock(gates, basis, angles, Samples(names, names, more.get("shots", 100))),))


def long_request(*, job_id: str = "long") -> JobRequest:
    """A job of many seconds."""
    return request_of(n_qubits=18, rows=200, n_gates=300, job_id=job_id)


async def run(backend: AerBackend, request: JobRequest) -> list[int]:
    """Shots per row that came back."""
    counts = (await execute_request(backend, request)).blocks[0].counts
    assert counts is not None
    return [int(total) for total in counts.shots]


def start(backend: AerBackend, request: JobRequest) -> "asyncio.Task[RawResult]":
    """A job that runs beside the test."""
    return asyncio.create_task(run_request(backend, request))


async def wait_busy(pids: list[int]) -> int:
    """The process that has first computed for a moment from now on."""
    start = {pid: psutil.Process(pid).cpu_times().user for pid in pids}
    while True:
        for pid in pids:
            if psutil.Process(pid).cpu_times().user > start[pid] + 0.15:
                return pid
        await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process lives, zombies not counted."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_gone(pids: list[int], *, seconds: float) -> bool:
    """Whether all processes end within so many seconds."""
    deadline = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_killed_worker_loses_its_job_and_is_replaced() -> None:
    """kill -9 in mid-job is a WorkerLostError that names the signal; the next job is served."""

    async def main() -> None:
        backend = open_backend("", clock=WallClock(), workers=1)
        try:
            assert await run(backend, request_of(n_qubits=2)) == [100]
            (pid,) = backend.worker_pids
            lost = start(backend, long_request())
            await wait_busy([pid])
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(WorkerLostError, match=r"signal 9.*job long"):
                await lost
            assert await run(backend, request_of(n_qubits=2, rows=3)) == [100, 100, 100]
            assert backend.worker_pids != [pid]
        finally:
            await backend.close()

    asyncio.run(main())


def test_other_jobs_do_not_notice_a_lost_worker() -> None:
    """With two workers, the jobs of the other one go on."""

    async def main() -> None:
        backend = open_backend("", clock=WallClock(), workers=2)
        try:
            await asyncio.gather(*(run(backend, request_of(n_qubits=12, rows=50)) for _ in range(2)))
            jobs = [start(backend, long_request())]
            jobs += [start(backend, request_of(n_qubits=2, job_id=f"{n}")) for n in range(20)]
            await asyncio.gather(*jobs[1:])
            os.kill(await wait_busy(backend.worker_pids), signal.SIGKILL)
            with pytest.raises(WorkerLostError):
                await jobs[0]
            assert await run(backend, request_of(n_qubits=2)) == [100]
        finally:
            await backend.close()

    asyncio.run(main())


def test_a_job_that_ends_every_worker_fails_for_good() -> None:
    """After so many workers it is no longer a WorkerLostError, which would be tried again."""

    async def main() -> None:
        backend = open_backend("", clock=WallClock(), workers=1)
        try:
            for attempt in range(1, MAX_WORKERS_PER_JOB + 1):
                await run(backend, request_of(n_qubits=2))
                job = start(backend, long_request())
                await wait_busy(backend.worker_pids)
                os.kill(backend.worker_pids[0], signal.SIGKILL)
                with pytest.raises(BackendError) as caught:
                    await job
                assert isinstance(caught.value, WorkerLostError) is (attempt < MAX_WORKERS_PER_JOB)
            assert await run(backend, request_of(n_qubits=2)) == [100]
        finally:
            await backend.close()

    asyncio.run(main())


def test_a_worker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A broken qiskit_aer ends in a BackendError with what the worker printed, not in endless restarts."""
    (tmp_path / "qiskit_aer.py").write_text("raise ImportError('broken on purpose')\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def main() -> None:
        backend = open_backend("", clock=WallClock(), workers=1)
        try:
            with pytest.raises(BackendError, match=r"do not start.*broken on purpose") as caught:
                await run(backend, request_of(n_qubits=2))
            assert not isinstance(caught.value, WorkerLostError)
        finally:
            await backend.close()

    asyncio.run(main())


def test_a_running_job_is_cancelled_at_once() -> None:
    """A cancelled call ends its worker's work within seconds; the next job is served by another worker."""

    async def main() -> None:
        backend = open_backend("", clock=WallClock(), workers=1)
        try:
            await run(backend, request_of(n_qubits=2))
            job = start(backend, long_request())
            pids = backend.worker_pids
            await wait_busy(pids)
            job.cancel()
            await asyncio.wait({job}, timeout=2.0)
            assert job.cancelled()
            assert wait_gone(pids, seconds=2.0)
            assert await run(backend, request_of(n_qubits=2)) == [100]
        finally:
            await backend.close()

    asyncio.run(main())


def test_closing_leaves_no_process_file_or_thread() -> None:
    """After a close in mid-job there are as many descriptors as before, and no children."""

    async def main() -> None:
        backend = open_backend("", clock=WallClock(), workers=2)
        await run(backend, request_of(n_qubits=2))
        pids = backend.worker_pids
        job = start(backend, long_request())
        await wait_busy(pids)
        await backend.close()
        with pytest.raises(BackendError, match="closed"):
            await job
        assert wait_gone(pids, seconds=2.0)

    threads = threading.active_count()
    asyncio.run(main())
    process = psutil.Process()
    files = process.num_fds()
    asyncio.run(main())
    assert process.num_fds() <= files
    # asyncio's thread that reaped a worker returns a moment after it has told the loop so.
    for thread in threading.enumerate()[threads:]:
        thread.join(timeout=2.0)
    assert threading.active_count() <= threads
    assert not [child for child in process.children() if child.status() == psutil.STATUS_ZOMBIE]


ORPHANS = """
    import asyncio, os, sys, time
    sys.path.insert(0, {here!r})
    from test_aer_workers import long_request, request_of, run, start, wait_busy
    from qorch.ports.clock import WallClock
    from qorch_providers.aer import open_backend

    async def main():
        backend = open_backend("", clock=WallClock(), workers=2)
        await asyncio.gather(*(run(backend, request_of(n_qubits=2)) for _ in range(4)))
        jobs = [start(backend, long_request(job_id=str(n))) for n in range(2)]
        await wait_busy(backend.worker_pids)
        child = 0
        if {fork}:
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
        print(*backend.worker_pids, child, flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
"""


@pytest.mark.parametrize("fork", [False, True])
def test_workers_end_when_their_parent_is_killed(fork: bool) -> None:
    """kill -9 of the parent while Aer computes: no worker lives 2 s later, inherited pipes or not."""
    script = textwrap.dedent(ORPHANS.format(here=str(Path(__file__).parent), fork=fork))
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PATHS},
    )
    try:
        assert parent.stdout is not None
        *workers, child = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(is_running(pid) for pid in workers)
        parent.kill()
        parent.wait()
        parent.stdout.close()
        assert wait_gone(workers, seconds=2.0)
        if child:
            assert is_running(child)
            os.kill(child, signal.SIGKILL)
    finally:
        parent.kill()


def test_a_forked_child_holds_no_pipe_of_a_worker() -> None:
    """In a forked child the worker's three pipes are closed (the loop's own are not); the parent's still work."""

    async def main() -> tuple[list[str], int]:
        backend = open_backend("", clock=WallClock(), workers=1)
        try:
            await run(backend, request_of(n_qubits=2))
            before = pipes_of(os.getpid())
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(writer, str(len(before & pipes_of(os.getpid()))).encode())
                os._exit(0)
            held = int(os.read(reader, 10))
            os.waitpid(child, 0)  # noqa: ASYNC222
            os.close(reader)
            os.close(writer)
            assert await run(backend, request_of(n_qubits=2)) == [100]
            return sorted(before), held
        finally:
            await backend.close()

    if not Path("/proc/self/fd").exists():
        pytest.skip("open files of a process are listed in /proc only")
    outside = pipes_of(os.getpid())
    before, held = asyncio.run(main())
    assert len(set(before) - outside) >= 3 <= len(before) - held


def pipes_of(pid: int) -> set[str]:
    """Pipes and sockets that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith(("pipe:", "socket:")):
            found.add(target)
    return found


def test_a_script_without_a_main_guard_works(tmp_path: Path) -> None:
    """Workers do not import the script that started them, and find packages that only its sys.path names."""
    script = tmp_path / "plain.py"
    script.write_text(
        textwrap.dedent(f"""
            import sys
            sys.path[:0] = {PATHS.split(os.pathsep)!r} + [{str(Path(__file__).parent)!r}]
            import asyncio
            from test_aer_workers import request_of, run
            from qorch.ports.clock import WallClock
            from qorch_providers.aer import open_backend

            print("started")
            backend = open_backend("", clock=WallClock(), workers=2)

            async def main():
                print(await run(backend, request_of(n_qubits=3, rows=2)))
                await backend.close()

            asyncio.run(main())
        """)
    )
    # A folder full of traps: a worker that searched it first would not come up.
    (tmp_path / "numpy.py").write_text("raise ImportError('the wrong numpy')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:2] == ["started", "[100, 100]"]


def test_workers_ignore_ctrl_c() -> None:
    """SIGINT to a worker changes nothing: the parent decides."""

    async def main() -> None:
        backend = open_backend("", clock=WallClock(), workers=1)
        try:
            await run(backend, request_of(n_qubits=2))
            pids = backend.worker_pids
            os.kill(pids[0], signal.SIGINT)
            assert await run(backend, request_of(n_qubits=2)) == [100]
            assert backend.worker_pids == pids
        finally:
            await backend.close()

    asyncio.run(main())


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_the_event_loop_stays_responsive() -> None:
    """While large jobs go out, run and come back, a 1 ms ticker never stalls for 50 ms."""

    async def main() -> float:
        backend = open_backend("", clock=WallClock(), workers=2)
        worst = 0.0

        async def tick() -> None:
            nonlocal worst
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.001)
                worst = max(worst, time.monotonic() - before - 0.001)

        try:
            await run(backend, request_of(n_qubits=2))
            ticker = asyncio.create_task(tick())
            requests = [request_of(n_qubits=13, rows=500, n_gates=20, shots=4_096) for _ in range(4)]
            await asyncio.gather(*(execute_request(backend, request) for request in requests))
            ticker.cancel()
            return worst
        finally:
            await backend.close()

    # A busy machine can take the processor away from any process; it does not do so three times out of three.
    assert any(asyncio.run(main()) < 0.05 for _ in range(3))


def test_threads_change_no_bit() -> None:
    """A large state simulated by two threads gives the counts of one."""

    async def main(workers: int) -> bytes:
        backend = open_backend("", clock=WallClock(), workers=workers)
        try:
            request = request_of(n_qubits=20, rows=1, n_gates=25, shots=2_000)
            counts = (await execute_request(backend, request)).blocks[0].counts
            assert counts is not None
            return counts.outcomes.tobytes() + counts.counts.tobytes()
        finally:
            await backend.close()

    assert asyncio.run(main(1)) == asyncio.run(main(2))
