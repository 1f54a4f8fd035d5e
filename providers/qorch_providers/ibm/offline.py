"""How IBM's devices would be used, told without an account, and without compiling circuits for a device."""

from dataclasses import dataclass

from qorch.errors import CircuitError
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, Usage
from qorch.model.measurement import Measurement
from qorch.ports.backend import Capabilities
from qorch_providers.ibm.circuits.durations import check_time, estimate_seconds
from qorch_providers.ibm.circuits.sizes import MAX_QUBITS, check_twirling, circuits_per_row, rows_within, shots_per_row
from qorch_providers.ibm.options import MAX_EXECUTIONS, ExecutionMode, Options, parse_options


def plan_remote_offline(options: str) -> "IbmOffline":
    """See ``qorch.ports.backend.OfflinePlanner``. Raises UnknownNameError or UsageError as ``open_backend`` does."""
    return IbmOffline(f"ibm:{options}", parse_options(options))


@dataclass(frozen=True)
class IbmOffline:
    """See OfflinePlanner. Gates are not billed, so that they are not counted here either."""

    name: str
    options: Options

    @property
    def capabilities(self) -> Capabilities:
        """See OfflinePlanner."""
        return Capabilities(
            max_qubits=MAX_QUBITS,
            max_shots=MAX_EXECUTIONS,
            max_rows_per_job=self.options.rows or MAX_EXECUTIONS,
            slots=1,
            charges=True,
            samples=self.options.mitigation is None,
            estimates=self.options.mitigation is not None,
            mixes_shots=False,
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """See OfflinePlanner."""
        session = (
            "a session is charged for all the time that it is active, also between jobs: only the jobs are quoted",
        )
        return (
            f"circuits are not compiled for {self.name}: very long ones may need more jobs; the seconds of a job are an"
            f" estimate, and at most max_time={self.options.max_seconds}",
            *(session if self.options.mode is ExecutionMode.SESSION else ()),
        )

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See OfflinePlanner."""
        if gates.n_qubits > MAX_QUBITS:
            raise CircuitError(
                f"the circuit has {gates.n_qubits} qubits; outcomes of at most {MAX_QUBITS} are read: use fewer"
            )
        if measurement.is_exact:
            raise CircuitError(f"{self.name} has no exact values; give a number of shots")

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See OfflinePlanner; a compiled circuit is taken to have as many free angles and gates as it is written."""
        check_twirling(shots, self.options)
        check_time(shots_per_row(measurement, self.options, shots=shots), self.options, name=self.name)
        return rows_within(
            self.options,
            measurement,
            n_gates=gates.n_gates,
            n_angles=gates.n_columns,
            n_device_qubits=gates.n_qubits,
            shots=shots,
        )

    def measure(self, request: JobRequest) -> Usage:
        """See OfflinePlanner."""
        executions = [block.n_rows * circuits_per_row(block.measurement, self.options) for block in request.blocks]
        shots = sum(n * (block.shots or 0) for n, block in zip(executions, request.blocks, strict=True))
        return Usage(sum(executions), shots, seconds=estimate_seconds(shots, self.options))
