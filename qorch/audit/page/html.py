"""Writes pages as HTML. Every text is escaped, and what is invisible or turns the direction of writing is spelt out.

No data stands in a script, and the policy of the page allows neither a request nor a script but its own.
"""

import base64
import functools
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from qorch.audit.page.page import Fact, RunPage, WorkPart
from qorch.audit.page.pictures import Figure
from qorch.model.text import printable

_FOOT = "Made by qorch. This page is complete in itself: it asks for nothing from any network."
_LIVE_FOOT = "Read from the database while you look, and never written to: qorch ui."


@dataclass(frozen=True)
class LiveLinks:
    """Where a live page hears of changes, and gets its content anew."""

    events: str
    part: str


def write_page(page: RunPage) -> str:
    """The page of a run as one file that needs nothing else."""
    return _frame(page.title, write_run(page) + write_work(page.work))


def write_live_page(title: str, content: str, links: LiveLinks) -> str:
    """A page of `qorch ui` around what ``write_run`` or another part has made."""
    return _frame(title, content, links)


def write_run(page: RunPage) -> str:
    """What stands in the page of a run before its jobs."""
    return render("run.html.j2", page=page)


def write_work(work: WorkPart) -> str:
    """What stands in the page of a run about its jobs, its time and its money."""
    return render("work.html.j2", work=work)


def write_notebook(heading: str, facts: tuple[Fact, ...], figures: tuple[Figure, ...]) -> str:
    """Pictures for a notebook."""
    return render("notebook.html.j2", heading=heading, facts=facts, figures=figures, style=Markup(read("pictures.css")))  # noqa: S704


def render(template: str, **values: object) -> str:
    """A template of this package, with everything escaped that is no Markup."""
    return environment().get_template(template).render(**values)


def _frame(title: str, content: str, links: LiveLinks | None = None) -> str:
    style, script = read("pictures.css") + read("page.css"), read("page.js")
    return render(
        "base.html.j2",
        title=title,
        content=Markup(content),  # noqa: S704  # made by a template of this package
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=policy(is_live=links is not None),
        live=links,
        foot=_FOOT if links is None else _LIVE_FOOT,
    )


@functools.cache
def policy(*, is_live: bool) -> str:
    """The Content-Security-Policy: our style and our script by their digests, and nothing else.

    ``data:`` is for the empty icon, without which a browser would ask for one.
    """
    style, script = _digest(read("pictures.css") + read("page.css")), _digest(read("page.js"))
    parts = ["default-src 'none'", f"style-src {style}", f"script-src {script}", "img-src data:", "base-uri 'none'"]
    # The comparison is asked for by a form of the page itself.
    parts += ["connect-src 'self'", "form-action 'self'"] if is_live else ["form-action 'none'"]
    return "; ".join(parts)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def environment() -> Environment:
    """The templates. ``autoescape`` is no guess by the name of a file."""
    return Environment(
        loader=FunctionLoader(read), autoescape=True, undefined=StrictUndefined, finalize=_spell_out,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _spell_out(value: object) -> object:
    """A text without invisible characters, but for what a template has made."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def read(name: str) -> str:
    """A file of the folder ``templates``."""
    return files("qorch.audit.page").joinpath("templates", name).read_text(encoding="utf-8")
