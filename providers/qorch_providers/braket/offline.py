"""How Amazon Braket's devices would be used, told without an account: by records of what they said of themselves."""

from dataclasses import dataclass

from qorch.errors import UsageError
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, Usage
from qorch.model.measurement import Measurement
from qorch.ports.backend import Capabilities
from qorch_providers.braket.circuits.limits import check_circuit, check_device, max_rows, rows_per_job
from qorch_providers.braket.circuits.task_body import measure_usage
from qorch_providers.braket.device import BraketDevice
from qorch_providers.braket.options import Options, parse_options
from qorch_providers.braket.recorded import RECORDED


def plan_remote_offline(options: str) -> "BraketOffline":
    """See ``qorch.ports.backend.OfflinePlanner``. Raises UsageError for a device of which nothing is recorded."""
    parsed = parse_options(options)
    device = RECORDED.get(parsed.device_arn.lower())
    if device is None:
        raise UsageError(
            f"nothing is recorded of braket:{options}, so that it cannot be quoted without asking Amazon:"
            " start a run there, of which run.quote(pubs) says what they would buy"
        )
    if not parsed.verbatim:
        check_device(device, parsed)
    return BraketOffline(f"braket:{options}", parsed, device)


@dataclass(frozen=True)
class BraketOffline:
    """See OfflinePlanner."""

    name: str
    options: Options
    device: BraketDevice

    @property
    def capabilities(self) -> Capabilities:
        """See OfflinePlanner."""
        return Capabilities(
            max_qubits=self.device.n_qubits,
            max_shots=self.device.max_shots,
            max_rows_per_job=max_rows(self.device, self.options),
            slots=1,
            charges=True,
            exact=self.device.has_exact_values,
            mixes_shots=False,
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """See OfflinePlanner."""
        sets = self.device.program_sets
        if sets is None:
            return (f"{self.name} is taken to run one circuit per task, and how long a task takes is an estimate",)
        return (
            f"{self.name} is taken to have {self.device.n_qubits} qubits and program sets of {sets.max_executables}"
            f" executables and {sets.max_total_shots:,} shots, as recorded in 2026",
        )

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See OfflinePlanner."""
        check_circuit(gates, measurement, device=self.device, options=self.options)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See OfflinePlanner."""
        return rows_per_job(gates, measurement, device=self.device, options=self.options, shots=shots)

    def measure(self, request: JobRequest) -> Usage:
        """See OfflinePlanner."""
        return measure_usage(request, device=self.device, options=self.options)
