"""`qorch report`: where a run's time and money went."""

from qorch.cli.options import DbOption, JsonOption, RunArgument
from qorch.cli.output import print_json


def report(run: RunArgument, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show where a run's time and money went."""
    from qorch.audit.report import make_report
    from qorch.cli.database import open_database, require_run

    with open_database(db) as store:
        made = make_report(store, require_run(store, run).run_id)
    if as_json:
        print_json(made.to_json())
    else:
        print(made)
