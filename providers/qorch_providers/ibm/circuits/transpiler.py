"""The transpiler's process: `python -m qorch_providers.ibm.circuits.transpiler PARENT_PID`.

Qiskit's transpiler and what it loads hold the interpreter's lock for up to a second, which the event loop must not wait
for.
"""

import contextlib
import signal
import sys
import traceback
from typing import BinaryIO

import msgspec

from qorch.errors import CircuitError, QorchError
from qorch_providers.ibm.circuits.orders import (
    CompileAnswer,
    CompiledOrder,
    CompileOrder,
    RefusedOrder,
    read_message,
    write_message,
)
from qorch_providers.ibm.circuits.transpiling import compile_circuit
from qorch_providers.workers.serving import end_with_parent, take_pipes


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Compile circuits until the input ends."""
    while (frame := read_message(source)) is not None:
        write_message(sink, answer_order(msgspec.msgpack.decode(frame, type=CompileOrder)))


def answer_order(order: CompileOrder) -> CompileAnswer:
    """The compiled circuit, or why there is none."""
    try:
        return CompiledOrder(compile_circuit(order.gates, device=order.device, options=order.options))
    except QorchError as error:
        return RefusedOrder(str(error), isinstance(error, CircuitError))
    except Exception as error:
        traceback.print_exc()
        return RefusedOrder(f"Qiskit's transpiler failed: {type(error).__name__}: {error}", is_circuit=False)


def main() -> None:
    """Run as a program, with the parent's process id as its argument."""
    # Ctrl-C goes to the whole group of processes; what to do about it is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(int(sys.argv[1]))
    source, sink = take_pipes()
    with contextlib.suppress(BrokenPipeError):  # the parent went away while this process computed
        serve(source, sink)


if __name__ == "__main__":
    main()
