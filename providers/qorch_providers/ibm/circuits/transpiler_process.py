"""The process that runs Qiskit's transpiler, as its parent sees it: started when it is first needed, and kept."""

import os
import subprocess
import sys

import msgspec

from qorch.errors import BackendError, CircuitError
from qorch.model.circuit import GateList
from qorch_providers.ibm.circuits.orders import CompileAnswer, CompileOrder, RefusedOrder, make_order, read_message
from qorch_providers.ibm.circuits.orders import write_message as write
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import Options
from qorch_providers.workers.process import worker_environment

_MODULE = "qorch_providers.ibm.circuits.transpiler"
_END_SECONDS = 2.0
_TRIES = 2
"""The kernel ends the process with the thread that started it; then it is started again."""


class TranspilerProcess:
    """One circuit at a time: the caller sees to it. It ends with this process, and with ``close``."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id; None if it does not run."""
        return None if self._process is None else self._process.pid

    def compile(self, gates: GateList, device: IbmDevice, options: Options) -> bytes:
        """The compiled circuit as ``encode_isa`` writes it; waits for it. Raises CircuitError, BackendError."""
        order = make_order(gates, device, options)
        for _ in range(_TRIES):
            answer = self._ask(order)
            if isinstance(answer, RefusedOrder):
                raise (CircuitError if answer.is_circuit else BackendError)(answer.message)
            if answer is not None:
                return answer.content
        raise BackendError(
            "the process of Qiskit's transpiler ended twice while it compiled a circuit; is memory short?"
        )

    def close(self) -> None:
        """End the process, if it runs. It is started again by the next circuit."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                process.kill()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _ask(self, order: CompileOrder) -> CompileAnswer | None:
        """The answer; None if the process is gone."""
        process = self._process = self._process or _start()
        if process.stdin is None or process.stdout is None:
            raise BackendError("the process of Qiskit's transpiler has no pipes")
        try:
            write(process.stdin, order)
            frame = read_message(process.stdout)
        except OSError:
            frame = None
        if frame is None:
            self.close()
            return None
        answer: CompileAnswer = msgspec.msgpack.decode(frame, type=CompileAnswer)
        return answer


def _start() -> "subprocess.Popen[bytes]":
    if not sys.executable:
        raise BackendError("ibm needs a Python interpreter for Qiskit's transpiler, but sys.executable is empty")
    try:
        return subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=worker_environment(os.environ, threads=1),
        )
    except OSError as error:
        raise BackendError(f"cannot start Qiskit's transpiler with {sys.executable}: {error}") from error
