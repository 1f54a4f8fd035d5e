"""The runs of a database as the rows of a table."""

from collections import defaultdict
from dataclasses import dataclass
from urllib.parse import urlencode

from qorch.audit.page.page import STATE_SIGNS
from qorch.audit.page.scales import format_number, format_seconds
from qorch.model.ledger import LedgerBalance
from qorch.ports.reader import Reader
from qorch.run.totals import state_now, total_money

_NOTHING = "–"


@dataclass(frozen=True)
class RunRow:
    """A run in the table; all that is not its own text is ready to be read."""

    run_id: str
    query: str
    name: str
    state: str
    sign: str
    backend: str
    loss: str
    steps: str
    executions: str
    spent: str
    time: str
    started: str


def list_rows(reader: Reader) -> list[RunRow]:
    """All runs, newest first."""
    totals = reader.run_totals()
    balances: dict[str, list[LedgerBalance]] = defaultdict(list)
    for balance in reader.ledger_balances():
        balances[balance.run_id].append(balance)
    rows = []
    for run in reader.runs():
        if run.run_id not in totals:
            continue
        total, state = totals[run.run_id], state_now(reader, run)
        spent = total_money(run, balances[run.run_id]).spent
        rows.append(
            RunRow(
                run_id=run.run_id,
                query=urlencode({"id": run.run_id}, errors="surrogatepass"),
                name=run.name,
                state=state,
                sign=STATE_SIGNS.get(state, "•"),
                backend=run.backend,
                loss=format_number(total.metrics["loss"]) if "loss" in total.metrics else _NOTHING,
                steps=f"{total.steps:,}",
                executions=f"{total.executions:,}",
                spent=_NOTHING if spent is None else str(spent),
                time=format_seconds(total.wall_seconds),
                started=f"{run.created_at:%Y-%m-%d %H:%M}",
            )
        )
    return rows
