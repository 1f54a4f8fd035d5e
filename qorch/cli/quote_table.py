"""How `qorch quote` shows quotes: as documents, one in full, or several in a table."""

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qorch.cli.output import format_amount, print_table
from qorch.model.text import format_count

if TYPE_CHECKING:
    from qorch.model.prices.card import PriceCard
    from qorch.planning.quoting import Quote
    from qorch.workloads.quoting import WorkloadQuote
    from qorch.workloads.script import ScriptQuote

_PARTS = (("step", "one step"), ("epoch", "one epoch"), ("run", "the whole run"))
_SCRIPT_PARTS = (("step", "the first step"), ("epoch", "the first epoch"), ("run", "the whole program"))
_METHODS = {
    "parameter-shift": "parameter shift",
    "exact": "exact gradients",
    "spsa": "SPSA",
    "finite-difference": "finite differences",
    "sampled-shift": "parameter shift of a sampled quarter of the parameters",
}


def describe_quote(quote: "WorkloadQuote", *, workload: str, shots: int | None, today: datetime.date) -> dict[str, Any]:
    """The document of a quote. Its own ``jobs``, ``rows``, ``shots`` and ``spend`` are those of the whole run.

    ``spend`` is what is expected, ``spend_low`` and ``spend_high`` the ends of its interval; all are null if the price
    is not known.
    """
    return {
        "workload": workload,
        "backend": quote.backend,
        "shots_per_row": shots,
        "steps_per_epoch": quote.steps,
        "epochs": quote.epochs,
        **_describe(quote.run),
        "step": _describe(quote.step),
        "epoch": _describe(quote.epoch),
        "unpacked": _describe(quote.unpacked),
        "methods": {name: _describe(each) for name, each in quote.methods.items()},
        "price": _describe_card(quote.card, today),
        "assumptions": list(quote.assumptions),
        "problem": None,
    }


def describe_script_quote(quote: "ScriptQuote", *, script: str, today: datetime.date) -> dict[str, Any]:
    """The document of a program's quote. ``step`` and ``epoch`` are the first ones, null if there is none."""
    return {
        "script": script,
        "backend": quote.backend,
        "steps": quote.steps,
        "epochs": quote.epochs,
        **_describe(quote.run),
        "step": None if quote.step is None else _describe(quote.step),
        "epoch": None if quote.epoch is None else _describe(quote.epoch),
        "unpacked": _describe(quote.unpacked),
        "methods": {},
        "price": _describe_card(quote.card, today),
        "assumptions": list(quote.assumptions),
        "problem": None,
    }


def _describe_card(card: "PriceCard", today: datetime.date) -> dict[str, Any]:
    return {
        "certainty": card.certainty.value,
        "is_free": card.is_free,
        "plan": card.plan or None,
        "source": card.source,
        "date": None if card.date is None else card.date.isoformat(),
        "age_days": None if card.date is None else (today - card.date).days,
    }


def _describe(quote: "Quote") -> dict[str, Any]:
    cost = quote.cost
    return {
        "jobs": quote.jobs,
        "rows": quote.executions,
        "shots": quote.shots,
        "spend": None if cost is None else cost.expected.to_json(),
        "spend_low": None if cost is None else cost.low.to_json(),
        "spend_high": None if cost is None else cost.high.to_json(),
        "is_exact": cost is not None and cost.is_exact,
    }


def print_quote(document: dict[str, Any]) -> None:
    """Print one quote in full."""
    is_script = "script" in document
    print(f"{document['script' if is_script else 'workload']} on {document['backend']}: {_describe_size(document)}\n")
    parts = {**document, "run": document}
    print_table(
        ("", "jobs", "executions", "shots", "cost", "at least", "at most"),
        [
            (title, *_numbers(parts[name]))
            for name, title in (_SCRIPT_PARTS if is_script else _PARTS)
            if parts[name] is not None
        ],
    )
    print(f"\nprices   {_describe_price(document['price'])}")
    print(f"         {_describe_certainty(document)}")
    if live := document.get("live"):
        print(f"live     {_describe_live(live)}")
    print(f"packing  one circuit a job: {document['unpacked']['jobs']:,} jobs, {_cost(document['unpacked'])}")
    for name, method in document["methods"].items():
        counts = f"{method['rows']:,} executions in {method['jobs']:,} jobs"
        print(f"method   {_METHODS.get(name, name)}: {counts}, {_cost(method)}")
    for sentence in document["assumptions"]:
        print(f"assumed  {sentence}")


def print_comparison(workload: str, documents: Sequence[dict[str, Any]]) -> None:
    """Print the whole runs of several quotes as one table; below it, what was taken for granted."""
    columns = (
        "backend", "jobs", "executions", "cost of the run", "at least", "at most", "one circuit a job", "with SPSA",
        "with differences", "prices", "note",
    )  # fmt: skip
    print_table(
        columns,
        [_as_row(document) for document in documents],
        optional=("with differences", "at least", "at most", "executions", "prices"),
    )
    quoted = [document for document in documents if not document["problem"]]
    if quoted:
        print(f"\n{workload}: {_describe_size(quoted[0])}")
        for document in quoted:
            if live := document.get("live"):
                print(f"{document['backend']}: {_describe_live(live)}")
        if "script" in quoted[0]:
            print(quoted[0]["assumptions"][0])
    assumed = [document["backend"] for document in quoted if document["assumptions"]]
    if assumed:
        print(f"`qorch quote {workload} --backend {assumed[0]}` says what is assumed of a backend; so with the others")


def _describe_live(live: dict[str, Any]) -> str:
    if live["spend"] is None:
        return "the provider estimates in credits, which are no money here"
    return f"the provider itself estimates {format_amount(live['spend'])} for the whole run"


def _describe_price(price: dict[str, Any]) -> str:
    """Such as ``published, 10 days old: https://…``."""
    age = "" if price["age_days"] is None else f", {price['age_days']} days old"
    plan = "" if price["plan"] is None else f", plan {price['plan']}"
    return f"{price['certainty']}{plan}{age}: {price['source']}"


def _describe_certainty(document: dict[str, Any]) -> str:
    if document["spend"] is None:
        return "what it costs is not known; see `qorch prices`"
    if document["is_exact"]:
        return "the quantities are exact"
    return "how long the device takes is an estimate, and with it the cost"


def _describe_size(document: dict[str, Any]) -> str:
    """Such as ``5 epochs of 9 steps, 1,024 shots a row``, or of a program ``45 steps in 5 epochs``."""
    if "script" in document:
        epochs = f" in {format_count(document['epochs'], 'epoch')}" if document["epochs"] else ""
        return f"{format_count(document['steps'], 'step')}{epochs}"
    shots = document["shots_per_row"]
    each = "exact values" if shots is None else f"{format_count(shots, 'shot')} a row"
    epochs, steps = format_count(document["epochs"], "epoch"), format_count(document["steps_per_epoch"], "step")
    return f"{epochs} of {steps}, {each}"


def _numbers(part: dict[str, Any]) -> list[object]:
    numbers: list[object] = [f"{part[name]:,}" for name in ("jobs", "rows", "shots")]
    if part["spend"] is None:
        return [*numbers, "not known", None, None]
    ends = [None, None] if part["is_exact"] else [format_amount(part["spend_low"]), format_amount(part["spend_high"])]
    return [*numbers, format_amount(part["spend"]), *ends]


def _as_row(document: dict[str, Any]) -> list[object]:
    if document["problem"]:
        return [document["backend"], *[None] * 9, document["problem"]]
    jobs, rows, _, *money = _numbers(document)
    methods = [document["methods"].get(name) for name in ("spsa", "finite-difference")]
    price = document["price"]
    age = "" if price["age_days"] is None or price["is_free"] else f", {price['age_days']} d old"
    return [
        document["backend"], jobs, rows, *money, _cost(document["unpacked"]),
        *(None if method is None else _cost(method) for method in methods), f"{price['certainty']}{age}", None,
    ]  # fmt: skip


def _cost(part: dict[str, Any]) -> str:
    return "not known" if part["spend"] is None else format_amount(part["spend"])
