"""The most recently used programs, by circuit and basis."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qorch.model.circuit import GateList
from qorch_providers.local.program.program import Program, compile_program

MAX_PROGRAMS = 64

Basis = npt.NDArray[np.uint8]


class Programs:
    """Compiles every program once while it is in use. Thread-safe."""

    def __init__(self) -> None:
        """Nothing is compiled yet."""
        self._lock = threading.Lock()
        self._programs: OrderedDict[bytes, Program] = OrderedDict()

    def of(self, gates: GateList, basis: Basis) -> Program:
        """For measuring in a basis."""
        return self._get(b"m" + gates.digest + basis.tobytes(), lambda: compile_program(gates, basis))

    def with_noise(self, gates: GateList, basis: Basis) -> Program:
        """For measuring in a basis, with a source of noise after every gate."""
        key = b"n" + gates.digest + basis.tobytes()
        return self._get(key, lambda: compile_program(gates, basis, is_noisy=True))

    def for_gradient(self, gates: GateList) -> Program:
        """For going back and forth."""
        return self._get(b"g" + gates.digest, lambda: compile_program(gates, None, for_gradient=True))

    def _get(self, key: bytes, build: Callable[[], Program]) -> Program:
        with self._lock:
            program = self._programs.get(key)
            if program is not None:
                self._programs.move_to_end(key)
                return program
        program = build()
        with self._lock:
            self._programs[key] = program
            if len(self._programs) > MAX_PROGRAMS:
                self._programs.popitem(last=False)
        return program
