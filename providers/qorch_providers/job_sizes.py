"""How many rows make a job of a good size, for backends that compute in this process."""

from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement


def row_bytes(gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
    """At most how many bytes of answer one row has."""
    if shots is None:
        return 8 * measurement.n_values
    return 8 + 12 * int(min(shots, 2.0**gates.n_qubits))


def fitting_rows(by_time: float, bytes_of_row: int, *, max_bytes: int, max_rows: int) -> int:
    """As many rows as fit into the time, the bytes of an answer and the limit of a job, but at least 1."""
    return int(max(1, min(by_time, max_bytes // max(1, bytes_of_row), max_rows)))
