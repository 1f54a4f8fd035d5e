"""`qorch audit`: whether the books are whole. Each of its commands has a module of its own."""

import typer

from qorch.cli import audit_verify

app = typer.Typer(help="Check what the ledger says.", rich_markup_mode=None)
app.command()(audit_verify.verify)


@app.callback()
def start() -> None:
    """Check what the ledger says."""
