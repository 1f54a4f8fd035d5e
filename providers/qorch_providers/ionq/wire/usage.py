"""What a job's document says that it was billed for: quantum compute time, if the contract counts that. Pure."""

from typing import TypeVar

import msgspec

from qorch.model.job import RemoteState
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage, report_usage
from qorch_providers.ionq.options import SIMULATOR

BY_TIME = "QCT"
"""IonQ's word for contracts that count quantum compute time; others count gates, of which no billed number is told."""
_BILLED_FIELD = "billed_quantum_compute_time_us"

T = TypeVar("T")


def read_usage(
    state: RemoteState, stats: msgspec.Raw, *, cost_model: msgspec.Raw, dry_run: msgspec.Raw
) -> ReportedUsage | None:
    """The usage of a job in this state from fields of its document, JSON; None before its end, and if it has neither.

    Of a job that did not complete nothing is expected: IonQ releases what it had reserved for it.
    """
    model = _read(cost_model, str)
    is_silent = model is None and bytes(stats) == b"null"
    if is_silent or not state.is_over:
        return None
    if _read(dry_run, bool) or model not in (None, BY_TIME):
        return NO_USAGE
    billed_us = _read((_read(stats, dict[str, msgspec.Raw]) or {}).get(_BILLED_FIELD, msgspec.Raw(b"null")), float)
    if billed_us is not None:
        return report_usage(compute_seconds=billed_us / 1e6)
    return PENDING_USAGE if model == BY_TIME and state is RemoteState.DONE else NO_USAGE


def is_free(backend: msgspec.Raw, *, dry_run: msgspec.Raw) -> bool:
    """Whether a job cannot cost anything, by fields of its document, JSON: a dry run, or one of the simulator."""
    return bool(_read(dry_run, bool)) or _read(backend, str) == SIMULATOR


def _read(raw: msgspec.Raw, kind: type[T]) -> T | None:
    """What a field says; None if it is of another kind."""
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
