"""The body of ``POST /jobs``: all rows in one job, with what qorch has IBM keep."""

from qorch.model.job import JobRequest, Usage
from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import Options


def encode_job(
    request: JobRequest, *, key: str, device: IbmDevice, options: Options, compiler: IsaCompiler, session_id: str = ""
) -> bytes:
    """The JSON of a job, rows in the order of the blocks. ``session_id``: of the session it runs in; empty: none.

    Raises CircuitError if the rows are more than a job holds or differ in shots; ParameterError for an angle that is
    not finite.
    """
    raise NotImplementedError


def measure_usage(request: JobRequest, *, device: IbmDevice, options: Options, compiler: IsaCompiler) -> Usage:
    """What a job asks of the device: executions, shots, and gates times shots of the circuits as they are sent."""
    raise NotImplementedError
