"""What one job of IBM's holds, and how many rows of a circuit that is."""

from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import Options


def check_circuit(
    gates: GateList, measurement: Measurement, *, device: IbmDevice, options: Options, compiler: IsaCompiler
) -> None:
    """Raise CircuitError, naming the limit, if not even one row could be sent. Quick once the circuit is compiled."""
    raise NotImplementedError


def rows_per_job(
    gates: GateList,
    measurement: Measurement,
    *,
    device: IbmDevice,
    options: Options,
    compiler: IsaCompiler,
    shots: int | None,
) -> int:
    """How many rows one job holds. Raises CircuitError if not even one fits."""
    raise NotImplementedError
