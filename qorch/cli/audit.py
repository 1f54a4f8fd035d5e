"""`qorch audit`: whether the books are whole, what they say, and whether a provider's invoice agrees.

Each of its commands has a module of its own.
"""

import typer

from qorch.cli import audit_export, audit_reconcile, audit_spend, audit_verify

app = typer.Typer(
    help="Check the ledger, sum it up, export it, and compare a provider's invoice with it.", rich_markup_mode=None
)
app.command()(audit_verify.verify)
app.command()(audit_spend.spend)
app.command()(audit_export.export)
app.command()(audit_reconcile.reconcile)


@app.callback()
def start() -> None:
    """Check the ledger, sum it up, export it, and compare a provider's invoice with it."""
