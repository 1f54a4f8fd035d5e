"""How IonQ's machines would be used, told without a key: limits, jobs, and what is billed of them."""

from dataclasses import dataclass

from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, Usage
from qorch.model.measurement import Measurement
from qorch.ports.backend import Capabilities
from qorch_providers.ionq.backend import QPU_QUBITS, capabilities_of, check_width
from qorch_providers.ionq.circuits.job_body import check_gates, measure_usage
from qorch_providers.ionq.circuits.limits import check_measurement, rows_per_job
from qorch_providers.ionq.options import Options, parse_options


def plan_offline(options: str) -> "IonqOffline":
    """See ``qorch.ports.backend.OfflinePlanner``. Raises UnknownNameError or UsageError as ``open_backend`` does."""
    return IonqOffline(f"ionq:{options}", parse_options(options))


@dataclass(frozen=True)
class IonqOffline:
    """See OfflinePlanner. All limits of jobs are documented ones; a machine's qubits alone are its own."""

    name: str
    options: Options

    @property
    def capabilities(self) -> Capabilities:
        """See OfflinePlanner."""
        return capabilities_of(self.options)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """See OfflinePlanner."""
        return () if self.options.is_simulator else (f"{self.name} is taken to have {QPU_QUBITS} qubits",)

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See OfflinePlanner."""
        check_width(gates, self.name, self.capabilities)
        check_measurement(measurement, self.options)
        check_gates(gates, self.options)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See OfflinePlanner."""
        return rows_per_job(gates, measurement, self.options, shots=shots)

    def measure(self, request: JobRequest) -> Usage | None:
        """See OfflinePlanner."""
        return measure_usage(request, self.options)
