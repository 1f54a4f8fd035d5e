"""The most recently used programs, by circuit and basis: each is compiled once while it is in use."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from qorch.model.circuit import GateList
from qorch_providers.local.program.program import Program, compile_program

MAX_PROGRAMS = 64

Basis = npt.NDArray[np.uint8]


def measured_program(gates: GateList, basis: Basis) -> Program:
    """The program for measuring in a basis."""
    return _measured(gates, basis.tobytes(), is_noisy=False)


def noisy_program(gates: GateList, basis: Basis) -> Program:
    """The program for measuring in a basis, with a source of noise after every gate."""
    return _measured(gates, basis.tobytes(), is_noisy=True)


@lru_cache(maxsize=MAX_PROGRAMS)
def _measured(gates: GateList, basis: bytes, *, is_noisy: bool) -> Program:
    return compile_program(gates, np.frombuffer(basis, dtype=np.uint8), is_noisy=is_noisy)


@lru_cache(maxsize=MAX_PROGRAMS)
def gradient_program(gates: GateList) -> Program:
    """The program for the adjoint method, which runs it forward and then backward."""
    return compile_program(gates, None, for_gradient=True)
