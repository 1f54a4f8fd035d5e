"""`qorch audit`: whether the books are whole, and a provider's invoice agrees. Each command has a module of its own."""

import typer

from qorch.cli import audit_reconcile, audit_verify

app = typer.Typer(help="Check the ledger, and a provider's invoice against it.", rich_markup_mode=None)
app.command()(audit_verify.verify)
app.command()(audit_reconcile.reconcile)


@app.callback()
def start() -> None:
    """Check the ledger, and a provider's invoice against it."""
