"""`qorch audit verify`: find what was altered in the ledger, deleted from it, inserted or moved."""

from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.exit_codes import DONE, FAILED
from qorch.cli.options import DbOption, JsonOption
from qorch.cli.output import print_json

if TYPE_CHECKING:
    from qorch.audit.verification import Verification

_ANCHOR = Annotated[
    str | None,
    typer.Option(
        "--anchor", metavar="COUNT:DIGEST", help="As an earlier report printed it: must lie on the chain still."
    ),
]


def verify(anchor: _ANCHOR = None, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Verify the ledger: every entry, its place, the anchor and the balances.

    Each entry has a digest that covers it and all entries before it. Whatever was altered, deleted, inserted or moved
    is named, one line each, and the exit code is 1. Only an anchor that you kept elsewhere shows that somebody wrote
    the whole chain anew, anchor and balances included: give it with --anchor.
    """
    from qorch.audit.verification import parse_anchor, verify_books
    from qorch.cli.database import open_database

    earlier = None if anchor is None else parse_anchor(anchor)
    with open_database(db) as store:
        found = verify_books(store, earlier=earlier)
        location = store.location
    if as_json:
        print_json({"database": location, **found.to_json()})
    else:
        _print(found, location)
    raise typer.Exit(FAILED if found.findings else DONE)


def _print(found: "Verification", location: str) -> None:
    for finding in found.findings:
        print(finding.text)
    if found.findings:
        print(f"the ledger in {location} is not as qorch wrote it: {len(found.findings):,} findings")
    else:
        print(f"the ledger in {location} is whole")
    print(f"anchor: {found.anchor_text}")
