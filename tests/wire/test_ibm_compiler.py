"""Circuits are compiled once: for 100 steps, for the next process, and again only for another device or calibration."""

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ibm_circuits import COMPILER, GatedTranspiler, LocalTranspiler, body_of, device_of, options_of, recalibrated
from ionq_circuits import block_of, gate_list, random_gates, request_of

from qorch.errors import BackendError, CircuitError
from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.circuits.transpiler_process import TranspilerProcess

GATES = random_gates(np.random.default_rng(1), 4, 25)
OPTIONS = options_of()
STALL_SECONDS = 0.05


def compiler_in(folder):
    """A new process's compiler, with this folder."""
    return IsaCompiler(folder=folder, transpiler=LocalTranspiler())


def request():
    """A job of 3 rows in two bases."""
    angles = np.random.default_rng(2).uniform(-3, 3, (3, GATES.n_columns))
    return request_of(*[block_of(GATES, angles, basis=basis) for basis in ("ZZZZ", "XYXY")])


def test_a_circuit_is_compiled_once_for_a_hundred_steps(tmp_path):
    """Every step after the first finds the compiled circuit, and the next process does in the folder."""
    first = compiler_in(tmp_path)
    bodies = {body_of(request(), device_of(), OPTIONS, compiler=first) for _ in range(100)}
    second = compiler_in(tmp_path)
    bodies.add(body_of(request(), device_of(), OPTIONS, compiler=second))
    assert (first.n_compiled, second.n_compiled) == (1, 0)
    assert len(bodies) == 1


def test_without_a_folder_every_process_sends_the_same_bytes():
    """A circuit that is compiled anew is the same to the byte, so that a job's payload can be made again."""
    bodies = {body_of(request(), device_of(), OPTIONS, compiler=compiler_in(None)) for _ in range(2)}
    assert len(bodies) == 1


def test_a_changed_calibration_compiles_anew(tmp_path):
    """Another value in the properties is another target; other dates alone are not."""
    compiler = compiler_in(tmp_path)
    for device, expected in ((device_of(), 1), (recalibrated(), 1), (recalibrated(value=0.3), 2)):
        compiler.compile(GATES, device=device, options=OPTIONS)
        assert compiler.n_compiled == expected


def test_options_of_the_transpiler_compile_anew(tmp_path):
    """Level, seed, layout and fractional gates decide on the circuit; delays and times do not."""
    compiler = compiler_in(tmp_path)
    texts = ["", ",optimization=1", ",seed=9", ",layout=24-23-22-21", ",rep_delay=0.0001,max_time=5,jobs=3"]
    for text in texts:
        compiler.compile(GATES, device=device_of(), options=options_of(f"ibm_fez{text}"))
    assert compiler.n_compiled == 4


@pytest.mark.parametrize("damage", [b"", b"x", b"0" * 64 + b"\n{}"])
def test_a_damaged_file_is_compiled_again(tmp_path, damage):
    """What is in the folder is used only if it is whole."""
    first = compiler_in(tmp_path)
    expected = first.compile(GATES, device=device_of(), options=OPTIONS)
    (file,) = tmp_path.glob("*.isa")
    whole = file.read_bytes()
    file.write_bytes(damage)
    second = compiler_in(tmp_path)
    assert second.compile(GATES, device=device_of(), options=OPTIONS).digest == expected.digest
    assert second.n_compiled == 1
    assert file.read_bytes() == whole


def test_threads_that_need_a_circuit_at_once_compile_it_once():
    """Two calls of prepare at the same time do the work of one."""
    compiler = compiler_in(None)
    threads = [
        threading.Thread(target=compiler.compile, args=(GATES,), kwargs={"device": device_of(), "options": OPTIONS})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compiler.n_compiled == 1


def test_the_transpilers_process_compiles_what_this_one_does():
    """Its circuits are the same to the byte; a refusal comes as an error; once killed it is started again."""
    process = TranspilerProcess()
    try:
        content = process.compile(GATES, device_of(), OPTIONS)
        assert content == LocalTranspiler().compile(GATES, device_of(), OPTIONS)
        with pytest.raises(CircuitError, match="layout= names 2"):
            process.compile(GATES, device_of(), options_of("ibm_fez,layout=3-5"))
        os.kill(process.pid, signal.SIGKILL)
        assert process.compile(GATES, device_of(), OPTIONS) == content
    finally:
        process.close()
    assert process.pid is None


def test_a_circuit_that_the_device_cannot_run_is_named():
    """A circuit wider than a connected part of the device is a CircuitError, not a crash."""
    wide = gate_list(8, *(("cx", (qubit, qubit + 1), ()) for qubit in range(7)))
    with pytest.raises(CircuitError, match="lagos"):
        COMPILER.compile(wide, device=device_of("lagos"), options=options_of("ibm_lagos"))


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_the_event_loop_goes_on_while_a_circuit_is_compiled():
    """A ticker on the loop never waits for more than 50 ms while Qiskit is loaded and compiles."""
    compiler = IsaCompiler(folder=None)
    gates = random_gates(np.random.default_rng(3), 6, 60)
    compiler_in(None).compile(gates, device=device_of(), options=OPTIONS)  # what this process imports lazily

    async def measure() -> float:
        last, longest = time.perf_counter(), 0.0
        work = asyncio.create_task(
            asyncio.to_thread(compiler.compile_all, [gates], device=device_of(), options=OPTIONS)
        )
        while not work.done():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            last, longest = now, max(longest, now - last)
        await work
        return longest

    try:
        assert asyncio.run(measure()) < STALL_SECONDS
    finally:
        compiler.close()


def test_circuits_that_wait_are_given_up_when_the_backend_is_closed():
    """After Ctrl-C the program ends with the circuit that is being compiled, not with the last one of all."""
    transpiler = GatedTranspiler()
    compiler = IsaCompiler(folder=None, transpiler=transpiler)
    circuits = [gate_list(1, *[("h", (0,), ())] * number) for number in (1, 2, 3)]

    def compile_all():
        with pytest.raises(BackendError, match="was closed while circuits waited"):
            compiler.compile_all(circuits, device=device_of(), options=OPTIONS)

    with ThreadPoolExecutor() as pool:
        work = pool.submit(compile_all)
        assert transpiler.is_compiling.wait(60)
        closing = pool.submit(compiler.close)
        while not compiler._is_closed:
            time.sleep(0.001)
        transpiler.may_go_on.set()
        closing.result(60)
        work.result(60)
    assert compiler.n_compiled == 1
    assert compiler.compile(circuits[0], device=device_of(), options=OPTIONS).n_one_qubit > 0
