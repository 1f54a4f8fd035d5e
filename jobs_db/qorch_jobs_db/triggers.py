"""Triggers by which the database itself refuses to change the ledger; every upgrade drops and makes them again.

They stop qorch and people who make a mistake, not a forger: `qorch audit verify` finds what was changed without them.
"""

from sqlalchemy import Connection, text

_REFUSED = "SELECT RAISE(ABORT, 'ledger entries are never changed or deleted')"
TRIGGERS = {
    "ledger_keeps_entries": f"BEFORE DELETE ON ledger BEGIN {_REFUSED}; END",
    "ledger_keeps_values": f"BEFORE UPDATE ON ledger BEGIN {_REFUSED}; END",
    # INSERT OR REPLACE deletes without firing the first.
    "ledger_keeps_numbers": (
        f"BEFORE INSERT ON ledger WHEN NEW.entry IN (SELECT entry FROM ledger) BEGIN {_REFUSED}; END"  # noqa: S608
    ),
}


def create_triggers(connection: Connection) -> None:
    """Make every trigger."""
    for name, body in TRIGGERS.items():
        connection.execute(text(f"CREATE TRIGGER {name} {body}"))


def drop_triggers(connection: Connection) -> None:
    """Drop those of an older database, so that a migration may write its tables anew."""
    for name in TRIGGERS:
        connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
