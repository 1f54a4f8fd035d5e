"""Writes the page of a run to a file."""

import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qorch.errors import UsageError
from qorch.model.prices.card import PriceCard
from qorch.ports.records import RunRecord
from qorch.ports.store import Store

_SUFFIXES = (".html", ".htm")


def check_html(file: Path | None, *, replaces: bool) -> None:
    """Raise UsageError for a file that no browser would take for a page, or that must not be replaced."""
    from qorch.audit.exports.tables import check_file

    if file is not None:
        check_file(file, suffixes=_SUFFIXES, replaces=replaces)


def save_page(store: Store, run: RunRecord, file: Path, *, card: PriceCard | None) -> None:
    """Write the page, replacing the file in one piece. Raises UsageError if it cannot be written."""
    from qorch.audit.page.html import write_page
    from qorch.audit.page.page import make_page
    from qorch.run.totals import state_now

    text = write_page(make_page(store, replace(run, state=state_now(store, run)), card=card))
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise UsageError(f"cannot write {file} ({error.strerror}); choose another file with --html") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
