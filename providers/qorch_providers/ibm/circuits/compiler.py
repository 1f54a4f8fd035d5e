"""Compiles circuits for a device: once for each circuit, device, calibration and options, kept in memory and on disk."""

from pathlib import Path

from qorch.model.circuit import GateList
from qorch_providers.ibm.circuits.isa import IsaCircuit
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import Options


class IsaCompiler:
    """Compiled circuits; any thread may ask for them."""

    def __init__(self, *, folder: Path | None) -> None:
        """``folder``: where compiled circuits are kept for later processes; None: nowhere."""
        self._folder = folder

    def compile(self, gates: GateList, *, device: IbmDevice, options: Options) -> IsaCircuit:
        """The circuit in the device's gates: at once if it was compiled before, else it takes seconds.

        Raises CircuitError if it cannot be compiled.
        """
        raise NotImplementedError
