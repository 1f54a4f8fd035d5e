"""`GET /jobs/estimate`: the question by a job's quantities, and its answer in both shapes. Pure."""

import math

import msgspec

from qorch.errors import InvalidResultError
from qorch.model.job import Usage
from qorch.model.money import MAX_MICROS, MICROS_PER_UNIT, Money

_MONEY, _CREDITS = "usd", frozenset({"credit", "credits"})


class _Estimate(msgspec.Struct):
    """``estimated_*`` of the present shape, ``cost_unit`` and ``estimated_cost`` of the earlier one."""

    estimated_unit: str | None = None
    estimated_total_cost: float | None = None
    cost_unit: str | None = None
    estimated_cost: float | None = None


def estimate_query(target: str, usage: Usage, *, n_qubits: int) -> list[tuple[str, str]]:
    """The question about a job whose executions have as many shots each, as one circuit with the gates of all."""
    shots = max(1, usage.shots // max(1, usage.executions))
    return [
        ("backend", target),
        ("qubits", str(n_qubits)),
        ("shots", str(shots)),
        ("1q_gates", str(usage.one_qubit_gate_shots // shots)),
        ("2q_gates", str(usage.two_qubit_gate_shots // shots)),
        ("error_mitigation", "true" if usage.is_mitigated else "false"),
    ]


def read_estimate(body: bytes) -> Money | None:
    """The money in an answer; None if it is in credits. Raises InvalidResultError if it cannot be read."""
    try:
        found = msgspec.json.decode(body, type=_Estimate)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"the estimate of a cost cannot be read: {error}") from error
    is_earlier = found.estimated_total_cost is None
    amount = found.estimated_cost if is_earlier else found.estimated_total_cost
    unit = ((found.cost_unit if is_earlier else found.estimated_unit) or "").lower()
    if amount is None or not math.isfinite(amount) or not 0 <= amount * MICROS_PER_UNIT <= MAX_MICROS:
        raise InvalidResultError(f"the estimated cost is {amount}, which is no amount")
    if unit == _MONEY:
        return Money("USD", round(amount * MICROS_PER_UNIT))
    if unit in _CREDITS:
        return None
    raise InvalidResultError(f"the estimated cost is in '{unit}', which is neither money nor credits")
