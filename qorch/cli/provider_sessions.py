"""How commands show the sessions that runs opened at their providers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qorch.cli.output import print_table

if TYPE_CHECKING:
    from qorch.ports.provider_sessions import ProviderSessionRecord


def describe_session(record: "ProviderSessionRecord") -> dict[str, Any]:
    """Its document; ``provider_id`` is null until the session is known at the provider."""
    plan = record.plan
    return {
        "run": record.run_id,
        "provider_id": record.provider_id,
        "device": plan.device,
        "mode": plan.mode,
        "state": record.state.value,
        "max_ttl_seconds": plan.max_ttl_seconds,
        "planned_at": plan.planned_at.isoformat(),
        "changed_at": record.changed_at.isoformat(),
        "error": record.error,
    }


def print_sessions(documents: Sequence[dict[str, Any]], *, title: str) -> None:
    """A table under its title; nothing if there is none."""
    if not documents:
        return
    columns = ("run", "provider_id", "device", "mode", "state", "planned_at", "error")
    print(f"\n{title}")
    print_table(
        [column.replace("_", " ") for column in columns],
        [[_shown(document, column) for column in columns] for document in documents],
        optional=("mode", "planned at", "device", "run"),
    )


def _shown(document: dict[str, Any], column: str) -> object:
    return document[column][:19] if column == "planned_at" else document[column]
