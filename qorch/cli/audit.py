"""`qorch audit`: whether the books are whole, and what they say. Each of its commands has a module of its own."""

import typer

from qorch.cli import audit_export, audit_spend, audit_verify

app = typer.Typer(help="Check what the ledger says, sum it up, and export it.", rich_markup_mode=None)
app.command()(audit_verify.verify)
app.command()(audit_spend.spend)
app.command()(audit_export.export)


@app.callback()
def start() -> None:
    """Check what the ledger says, sum it up, and export it."""
