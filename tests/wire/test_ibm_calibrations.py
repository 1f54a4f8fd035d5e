"""A calibration while a run goes on: what is planned keeps its bytes, what follows is compiled anew, off the loop."""

import asyncio
import threading
from dataclasses import replace

import numpy as np
from ibm_circuits import GatedTranspiler, LocalTranspiler, device_of, options_of, recalibrated
from ionq_circuits import block_of, gate_list, request_of

from qorch.model.label import JobLabel
from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.circuits.job_body import encode_job
from qorch_providers.ibm.compiled_device import CompiledDevice

GATES = gate_list(2, ("ry", (0,), (None,)), ("cx", (0, 1), ()))
OTHER = gate_list(1, ("h", (0,), ()))
OPTIONS = options_of()
OLD, NEW = device_of(), recalibrated(value=0.3)


class Noting(LocalTranspiler):
    """Notes in which thread circuits are compiled."""

    def __init__(self):
        self.threads = set()

    def compile(self, gates, device, options):
        """Compile it."""
        self.threads.add(threading.current_thread())
        return super().compile(gates, device, options)


def test_a_new_calibration_is_in_use_once_all_circuits_are_compiled_for_it():
    """All known circuits are compiled anew in a thread; until then what is planned is for the old calibration."""
    seen = [OLD]
    transpiler = Noting()
    compiler = IsaCompiler(folder=None, transpiler=transpiler)
    compiled = CompiledDevice(lambda: seen[0], compiler, OPTIONS)
    assert compiled.now is OLD
    asyncio.run(compiled.compile([GATES]))
    seen[0] = NEW
    assert compiled.now is OLD
    asyncio.run(compiled.refresh())
    assert compiled.now is NEW
    assert compiler.is_compiled(GATES, device=NEW, options=OPTIONS)
    asyncio.run(compiled.compile([GATES, OTHER]))
    assert compiler.n_compiled == 3
    assert threading.main_thread() not in transpiler.threads


def test_a_calibration_between_two_calls_leaves_no_circuit_behind():
    """Circuits that were being compiled when it was seen are compiled for it too, before it is in use."""
    seen = [OLD]
    transpiler = GatedTranspiler()
    compiler = IsaCompiler(folder=None, transpiler=transpiler)
    compiled = CompiledDevice(lambda: seen[0], compiler, OPTIONS)

    async def main():
        first = asyncio.create_task(compiled.compile([GATES]))
        assert await asyncio.to_thread(transpiler.is_compiling.wait, 60)
        seen[0] = NEW
        second = asyncio.create_task(compiled.compile([OTHER]))
        await asyncio.sleep(0)
        transpiler.may_go_on.set()
        await asyncio.gather(first, second)

    asyncio.run(main())
    assert compiled.now is NEW
    assert all(compiler.is_compiled(gates, device=NEW, options=OPTIONS) for gates in (GATES, OTHER))


def test_a_job_that_was_planned_before_a_calibration_keeps_its_bytes():
    """Its label has the context; by it the job is encoded for the device as it was, as often as it is sent."""
    seen = [OLD]
    compiler = IsaCompiler(folder=None, transpiler=LocalTranspiler())
    compiled = CompiledDevice(lambda: seen[0], compiler, OPTIONS)
    asyncio.run(compiled.compile([GATES]))
    compiled.note_context(b"\x01" * 32)
    request = replace(request_of(block_of(GATES, np.zeros((2, 1)))), label=JobLabel("j", context="01" * 32))

    def encode():
        return encode_job(request, key="a", device=compiled.planned(request), options=OPTIONS, compiler=compiler)

    before = encode()
    seen[0] = NEW
    asyncio.run(compiled.refresh())
    compiled.note_context(b"\x02" * 32)
    assert encode() == before
    later = replace(request, label=JobLabel("j", context="02" * 32))
    assert compiled.planned(later) is NEW
    assert compiled.planned(replace(request, label=None)) is NEW


def test_a_calibration_for_which_a_circuit_cannot_be_compiled_is_not_used():
    """A device that lost the qubits of a layout stays in use as it was; its own refusals say more."""
    seen = [OLD]
    compiler = IsaCompiler(folder=None, transpiler=LocalTranspiler())
    compiled = CompiledDevice(lambda: seen[0], compiler, options_of("ibm_fez,layout=100-101"))
    asyncio.run(compiled.compile([GATES]))
    seen[0] = device_of("lagos")
    asyncio.run(compiled.refresh())
    assert compiled.now is OLD
