"""Writes a latency profile as the TOML file that it is read from, each figure with its source."""

import json
from collections.abc import Iterator
from dataclasses import fields

from qorch.model.profiles.profile import NOT_GIVEN, Profile, ShareFigure, TimeFigure


def write_profile(profile: Profile) -> str:
    """The text of a profile's file; reading it again gives an equal profile."""
    return "\n".join(_lines(profile)) + "\n"


def _lines(profile: Profile) -> Iterator[str]:
    yield f"description = {_value(profile.description)}"
    yield f"backends = {_value(list(profile.backends))}"
    for title in ("latencies", "faults"):
        yield f"\n[{title}]"
        yield from _figures(getattr(profile, title))
    if profile.closures is not None:
        yield "\n[closures]"
        yield from _figures(profile.closures)
    for title in ("facts", "limits"):
        table = getattr(profile, title)
        if table is not None and table.source != NOT_GIVEN:
            yield f"\n[{title}]"
            given = ((each.name, getattr(table, each.name)) for each in fields(table))
            yield from (f"{name} = {_value(value)}" for name, value in given if value is not None)


def _figures(table: object) -> Iterator[str]:
    """One line for each figure that is given."""
    for each in fields(table):  # type: ignore[arg-type]
        figure = getattr(table, each.name)
        if figure.source != NOT_GIVEN:
            yield f"{each.name} = {_figure(figure)}"


def _figure(figure: TimeFigure | ShareFigure) -> str:
    if isinstance(figure, TimeFigure):
        first = f"seconds = {_value(str(figure.seconds))}"
    else:
        first = f"share = {_value(figure.share)}"
    count = f", observations = {figure.observations}" if figure.observations else ""
    return f"{{ {first}, source = {_value(figure.source)}{count} }}"


def _value(value: object) -> str:
    """A value as TOML writes it, which is as JSON does for all kinds that profiles have."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
