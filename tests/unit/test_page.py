"""The page of a run: it is complete in itself, nothing in it is live, and its pictures say what was recorded."""

import base64
import datetime
import hashlib
import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from drawn_run import NOON, write_run

import qorch
from qorch.audit.page.html import read, write_page
from qorch.audit.page.job_figures import MOST_LANES
from qorch.audit.page.job_times import JobActivity, seconds_by_job, time_jobs
from qorch.audit.page.latency_hours import hours_figure
from qorch.audit.page.notebook import show_report, show_run
from qorch.audit.page.page import RunPage, make_page, money_figure
from qorch.audit.page.pictures import Figure, PicturePath
from qorch.audit.page.progress import make_curves, progress_figures
from qorch.audit.page.records import RunCourse, read_course
from qorch.audit.page.remaining import PlannedSteps, plan_steps, time_left
from qorch.audit.page.run_time import run_time
from qorch.audit.report import make_report
from qorch.model.ledger import EntryKind
from qorch.model.money import Money
from qorch.model.timing import Phase, Span
from qorch.ports.clock import WallClock
from qorch.ports.records import MetricRecord, RunRecord, SessionRecord, SpanRecord, StepRecord
from qorch.run.totals import MoneyTotals
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

CORPUS = (
    "</script><script>alert(1)//", "<img src=x onerror=alert(1)>", '"><svg/onload=alert(1)>', "&lt;b&gt;", "<!--",
    "']]><svg/onload=alert(1)>", "</style><script>alert(1)</script>", "</title><script>1</script>", "\ud800",
    "{{ 7 * 7 }}{% raw %}", "javascript:alert(1)", "\u202eevil\u2066", "\x00\x1b[2J", "' onmouseover='alert(1)",
)  # fmt: skip
TAGS = set(
    """
    a body button caption code details dd div dl dt figcaption figure footer form h1 h2 h3 head header html input label
    link main meta p path script section span style summary svg table ul li pre tbody td text th thead title tr br
    strong
    """.split()  # noqa: SIM905
)
VOID = {"meta", "link", "input", "br"}
ATTRIBUTES = {
    "aria-hidden", "aria-label", "charset", "class", "content", "d", "data-axis", "data-place", "data-plot", "for",
    "hidden", "href", "http-equiv", "id", "lang", "name", "rel", "role", "scope", "tabindex", "text-anchor", "type",
    "viewbox", "x", "y", "checked",
}  # fmt: skip


class Outline(HTMLParser):
    """Checks that tags are balanced, and keeps tags, attributes, ids and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def make_store(text: str = "", *, steps: int = 12, jobs_per_step: int = 5) -> MemoryStore:
    """A store with a run of jobs."""
    store = MemoryStore(WallClock())
    write_run(store, f"run{text}", steps=steps, jobs_per_step=jobs_per_step, name=f"cats{text}", text=text)
    return store


def only_page(store: MemoryStore) -> RunPage:
    """The page of the only run."""
    return make_page(store, store.runs()[0])


@pytest.fixture(scope="module")
def page() -> RunPage:
    """The page of a run of 60 jobs."""
    return only_page(make_store())


def figures_of(page: RunPage) -> list[Figure]:
    """All figures of a page."""
    work = page.work
    found = (
        *page.progress, work.shares, work.latency, work.hours, *work.gantts, work.load, work.attempts, work.cache,
        work.money,
    )  # fmt: skip
    return [figure for figure in found if figure is not None]


def test_a_page_is_well_formed_and_complete_in_itself(page: RunPage) -> None:
    """Tags are balanced, ids unique, and nothing is asked of any address; every figure has a table and a text."""
    outline = Outline(write_page(page))
    ids = [value for name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert [value for name, value in outline.attributes if name in ("href", "src")] == ["data:,"]
    assert {name for name, _ in outline.attributes} <= ATTRIBUTES
    for file in ("pictures.css", "page.css"):
        assert not re.search(r"url\(|@import|//", read(file))
    n_figures = outline.tags.count("figure")
    assert n_figures == len(figures_of(page)) == 10
    assert outline.tags.count("svg") == 2 * n_figures
    assert len([value for name, value in outline.attributes if name == "role" and value == "img"]) == 2 * n_figures
    assert all(figure.summary and figure.table.rows for figure in figures_of(page))


def test_the_policy_allows_our_script_and_nothing_else(page: RunPage) -> None:
    """The digests are those of what stands in the page, byte for byte."""
    text = write_page(page)
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.replace("&#39;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    for kind in ("script", "style"):
        [content] = re.findall(f"<{kind}>(.*?)</{kind}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


@pytest.mark.parametrize("text", CORPUS)
def test_no_name_becomes_live(text: str) -> None:
    """Whatever stands in names, errors and reasons, the page has its own tags and no invisible character."""
    outline = Outline(write_page(only_page(make_store(text, steps=2, jobs_per_step=6))))
    assert set(outline.tags) <= TAGS
    assert outline.tags.count("script") == outline.tags.count("style") == 1
    assert {name for name, _ in outline.attributes} <= ATTRIBUTES
    shown = "".join([*outline.text, *(value for _, value in outline.attributes)])
    assert [letter for letter in shown if letter != "\n" and not letter.isprintable()] == []
    if text.isprintable():
        assert shown.count(text) > 5


def test_pictures_in_notebooks_escape_names() -> None:
    """Of a run and of a report, too, and they bring no script."""
    store = make_store(CORPUS[0], steps=2)
    run_id = store.runs()[0].run_id
    for text in (show_run(store, run_id), make_report(store, run_id)._repr_html_()):
        assert text is not None
        outline = Outline(text)
        assert "script" not in outline.tags
        assert "svg" in outline.tags


def test_a_run_shows_itself_while_it_goes_on_and_later() -> None:
    """In the process that trains, and read from the store; a run whose store cannot be read shows its name."""
    store = MemoryStore(WallClock())
    with qorch.start_run("cats", backend=FakeBackend(), db=store, seed=5, progress=lambda _: None) as run:
        with run.step(0):
            run.log(loss=0.4321)
        run.flush()
        text = run._repr_html_()
    assert text is not None
    assert 'aria-label="progress over steps.' in text
    assert "0.4321" in text
    later = qorch.open_run("cats", db=store)._repr_html_()
    assert later is not None
    assert "(done)" in later
    assert show_run(store, "nobody") is None


def test_the_parts_of_the_wall_time_are_the_whole(page: RunPage) -> None:
    """They add up to 100 %, with the unattributed part among them, and the bar is as wide as its picture."""
    figure = page.work.shares
    assert figure is not None
    assert figure.table.rows[-1][::2] == ("total", "100.0 %")
    assert "unattributed" in {row[0] for row in figure.table.rows}
    wide = figure.pictures[0]
    ends = [
        float(found[1]) + float(found[2])
        for mark in wide.marks
        if isinstance(mark, PicturePath) and (found := re.match(r"M([\d.]+) 0\.5h([\d.]+)", mark.d))
    ]
    assert max(ends) == pytest.approx(wide.width, abs=1.1)


def test_very_many_jobs_are_sampled_and_that_is_said() -> None:
    """The page stays small, its lanes are few, and the counts are those of all jobs."""
    small, large = (only_page(make_store(steps=steps, jobs_per_step=40)) for steps in (4, 16))
    assert [len(figure.table.rows) for figure in large.work.gantts] == [MOST_LANES, 40]
    assert f"{MOST_LANES} of 640 jobs" in large.work.gantts[0].note
    assert "40 jobs in a row" in large.work.gantts[1].title
    assert large.work.load is not None
    assert "All 640 jobs" in large.work.load.note
    assert len(write_page(large)) < 1.5 * len(write_page(small))


def test_seconds_of_activities_are_those_of_the_spans() -> None:
    """Spans of one job and activity that overlap count once; sessions follow each other without the time between."""
    store = make_store(steps=3, jobs_per_step=1)
    run = store.runs()[0]
    axis = run_time(store.sessions(run.run_id))
    assert (axis.seconds, axis.borders.tolist()) == (30.0, [20.0])
    job = store.jobs(run.run_id)[2]
    spans = [
        SpanRecord(run.run_id, 1, Span(phase, start * 10**9, stop * 10**9, 2, 0, job.job_id))
        for phase, start, stop in ((Phase.SUBMIT, 1, 4), (Phase.TRANSFER, 2, 6), (Phase.QUEUE, 6, 8))
    ]
    times = time_jobs(store.jobs(run.run_id), spans, axis)
    assert (times.begins.tolist(), times.ends.tolist()) == ([21.0], [28.0])
    seconds = {each.activity: seconds_by_job(each, 1).tolist() for each in times.activities}
    assert seconds == {JobActivity.TRANSFER: [5.0], JobActivity.QUEUE: [2.0]}


def test_the_curve_of_money_ends_at_what_was_spent() -> None:
    """At every step it is the sum of the entries so far, and at the end that of the ledger."""
    store = make_store(steps=9, jobs_per_step=3)
    run = store.runs()[0]
    curves = make_curves(read_course(store, run))
    spent = [entry.micros for entry in store.ledger(run.run_id) if entry.kind is EntryKind.SPENT]
    assert curves.spent is not None
    assert curves.spent[-1] == pytest.approx(sum(spent) / 1e6)
    assert np.all(np.diff(curves.spent) >= 0)


def test_money_that_is_left_is_shown_beside_what_is_spent_and_reserved() -> None:
    """Without a budget nothing is left to be shown; money that is not known is no figure."""
    known = MoneyTotals(Money("USD", 2_000_000), Money("USD", 1_000_000))
    with_budget, without = money_figure(known, Money("USD", 4_000_000)), money_figure(known, None)
    assert with_budget is not None
    assert without is not None
    assert [row[:2] for row in with_budget.table.rows][2] == ("left of the budget", "1.00 USD")
    assert [row[2] for row in with_budget.table.rows] == ["50.0 %", "25.0 %", "25.0 %"]
    assert len(without.table.rows) == 2
    assert money_figure(MoneyTotals(), None) is None


def make_short_run(values: list[float]) -> MemoryStore:
    """A free run without jobs, with a loss for every step."""
    store = MemoryStore(WallClock())
    steps = [StepRecord("r", step, 0, NOON, 1, 0, NOON, 0) for step in range(len(values))]
    metrics = [MetricRecord("r", step, 0, "loss", value, NOON) for step, value in enumerate(values)]
    run = RunRecord("r", "r", "local", 1, "resume", NOON, charges=False)
    store.write([run, SessionRecord("r", 0, 1, "h", NOON, 10**9), *steps, *metrics]).result()
    return store


def test_a_loss_that_is_no_number_interrupts_its_curve() -> None:
    """It is neither drawn as a number nor bridged, and the page says how many there are."""
    store = make_short_run([0.5, 0.4, math.nan, math.inf, 0.3, 0.2])
    [figure, _] = progress_figures(read_course(store, store.runs()[0]))
    [line] = [
        mark for mark in figure.pictures[0].marks if isinstance(mark, PicturePath) and "line-metric" in mark.style
    ]
    assert line.d.count("M") == 2
    assert "2 values are not finite" in figure.note
    assert [row[2] for row in figure.table.rows][2:4] == ["not finite", "not finite"]


@pytest.mark.parametrize("values", [[], [0.5]], ids=["no step", "one step"])
def test_a_run_that_has_just_begun_has_a_page(values: list[float]) -> None:
    """Before the first step and after it, without jobs and without money."""
    outline = Outline(write_page(only_page(make_short_run(values))))
    assert "figure" in outline.tags


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    digits = colour.lstrip("#")
    digits = "".join(letter * 2 for letter in digits) if len(digits) == 3 else digits
    shares = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def themes() -> list[dict[str, str]]:
    """The colours of each block of the style sheet that has any."""
    blocks = re.findall(r"\{([^{}]*--page:#[^{}]*)\}", read("pictures.css"))
    return [dict(re.findall(r"--([a-z]+):(#[0-9a-f]+)", block)) for block in blocks]


def test_every_colour_can_be_read_in_both_themes() -> None:
    """A contrast of at least 4.5 with the page; the theme that is chosen is the one that the system asks for."""
    light, dark, chosen = themes()
    assert dark == chosen
    assert dark.keys() == light.keys()
    for theme in (light, dark):
        page = luminance(theme["page"])
        for name in theme.keys() - {"page", "panel", "rule", "faint"}:
            lighter, darker = sorted((page, luminance(theme[name])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, name


def test_every_style_of_a_mark_stands_in_the_style_sheet(page: RunPage) -> None:
    """A class that is missing would be drawn black."""
    marks = itertools.chain.from_iterable(picture.marks for figure in figures_of(page) for picture in figure.pictures)
    used = {name for mark in marks for name in mark.style.split()}
    known = set(re.findall(r"\.qorch \.([a-z-]+)", read("pictures.css"))) | {"tick", "key"}
    assert used <= known


def test_a_report_in_a_notebook_has_its_figures() -> None:
    """As text, too, for a reader who cannot see pictures."""
    store = make_store(steps=3)
    report: Any = make_report(store, store.runs()[0].run_id)
    text = show_report(replace(report, metrics={"loss": 0.25}))
    assert "0.25" in text
    assert 'aria-label="Where the wall time went.' in text


def test_a_run_at_work_says_what_is_left() -> None:
    """By the loops that its newest session began, and the steps that are stored; a run that is done says nothing."""
    used = {"batches 0.0": 10, "epochs 0": 2, "epochs 0.0": 1, "shots": 100}
    sessions = [SessionRecord("r", 0, 1, "h", NOON, used_settings=json.dumps(used))]
    steps = [StepRecord("r", step, 0, NOON + datetime.timedelta(seconds=2 * step), 1, 0, epoch=0) for step in range(10)]
    steps += [
        StepRecord("r", step, 0, NOON + datetime.timedelta(seconds=7 + 2 * step), 1, 0, epoch=1)
        for step in range(10, 14)
    ]
    run = RunRecord("r", "r", "local", 1, "resume", NOON)
    course = RunCourse(run, sessions, steps, [], [])
    left = time_left(course)
    assert left is not None
    # Six steps, and after the last one what followed the first epoch.
    assert left.expected == pytest.approx(6 * 2 + 7)
    assert time_left(replace(course, run=replace(run, state="done"))) is None
    assert time_left(replace(course, sessions=[])) is None
    assert plan_steps([replace(sessions[0], used_settings='{"batches 0": null, "epochs 0": 2}')]) is None
    assert plan_steps([replace(sessions[0], used_settings='{"batches 0": 4, "epochs 0": 2}')]) == PlannedSteps(8, 4)


def test_hours_of_the_day_are_told_apart_if_there_are_several(page: RunPage) -> None:
    """Each phase in each hour has a line of the table; of a run within an hour nothing is drawn."""
    hours = page.work.hours
    assert hours is not None
    assert {row[0] for row in hours.table.rows} == {"12", "13"}
    assert "provider queue" in hours.summary
    spans = [SpanRecord("r", 0, Span(Phase.EXECUTE, 0, 10**9, 0, 0, "r/0.0.0"))]
    assert hours_figure(spans, [SessionRecord("r", 0, 1, "h", NOON, 10**9)]) is None
    assert hours_figure([], []) is None
