"""`qorch profile`: the latencies and faults that mocks draw from, as they are known, and as they were measured."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.options import DbOption, JsonOption, RunsArgument
from qorch.cli.output import print_aside, print_json, print_table
from qorch.errors import UsageError

if TYPE_CHECKING:
    from qorch.model.profiles.profile import Profile, ShareFigure, TimeFigure

app = typer.Typer(
    help="Show the latencies and faults that mocks draw from, or learn them from runs.", rich_markup_mode=None
)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A profile, a backend such as ionq:qpu.forte-1, or a file (.toml).")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show a latency profile: each figure, of how many observations it was made, and where it comes from."""
    from qorch.backends import load_profile

    profile = load_profile(name)
    if as_json:
        print_json(_describe(profile))
        return
    print(f"{profile.name}: {profile.description}")
    rows = [
        (figure["name"], figure["value"], figure["observations"] or None, figure["source"])
        for figure in _figures(profile)
    ]
    print_table(("figure", "value", "observations", "source"), rows, optional=("observations",))
    print_aside(f"read from {profile.origin}")


@app.command()
def learn(
    runs: RunsArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write it, such as lab.toml. [standard output]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    db: DbOption = None,
) -> None:
    """Make a latency profile from what was measured in runs on one backend.

    What was not measured there is taken from the profile that comes with qorch for that backend, with its source.
    To use it: mock:…,profile=FILE.
    """
    from qorch.audit.learned_profile import learn_profile
    from qorch.backends import load_profile
    from qorch.cli.database import open_database, require_run
    from qorch.errors import UnknownNameError
    from qorch.model.profiles.writer import write_profile

    if out is not None and out.exists() and not force:
        raise UsageError(f"{out} is there already; choose another name, or replace it with --force")
    with open_database(db) as store:
        records = list({record.run_id: record for record in (require_run(store, run) for run in runs)}.values())
        try:
            base = load_profile(records[0].backend)
        except UnknownNameError:
            base = load_profile("cloud")
        text = write_profile(learn_profile(store, records, base))
    if out is None:
        print(text, end="")
        return
    out.write_text(text, encoding="utf-8")
    print(f"wrote {out}")


def _describe(profile: "Profile") -> dict[str, Any]:
    """A profile's document."""
    facts = {each.name: getattr(profile.facts, each.name) for each in fields(profile.facts)}
    return {
        "profile": profile.name,
        "description": profile.description,
        "backends": list(profile.backends),
        "figures": _figures(profile),
        "facts": facts,
        "origin": profile.origin,
    }


def _figures(profile: "Profile") -> list[dict[str, Any]]:
    tables = (profile.latencies, profile.faults, *(() if profile.closures is None else (profile.closures,)))
    prefixes = ("", "", "closure ")
    return [
        _figure(prefix + each.name, getattr(table, each.name))
        for prefix, table in zip(prefixes, tables, strict=False)
        for each in fields(table)
    ]


def _figure(name: str, figure: "TimeFigure | ShareFigure") -> dict[str, Any]:
    from qorch.model.profiles.profile import TimeFigure

    value = f"{figure.seconds} s" if isinstance(figure, TimeFigure) else f"{figure.share:.4g} of 1"
    return {"name": name, "value": value, "observations": figure.observations, "source": figure.source}
