"""`qorch quote`: what a training or a program would buy, on some backends or on all with a price; nothing is sent."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.completion import complete_backends, complete_workloads
from qorch.cli.options import JsonOption
from qorch.cli.output import print_json
from qorch.cli.train_help import is_script, script_arguments
from qorch.cli.training_options import (
    BatchSizeOption,
    DataDirOption,
    EpochsOption,
    GradientOption,
    LimitOption,
    SeedOption,
    ShotsOption,
    read_given,
    read_workload,
    refuse_for_script,
)
from qorch.errors import QorchError, UnknownNameError, UnreachableError, UsageError

if TYPE_CHECKING:
    from qorch.config import Config
    from qorch.model.money import Money
    from qorch.model.prices.book import PriceBook
    from qorch.ports.backend import OfflinePlanner
    from qorch.workloads.base import Options, Workload
    from qorch.workloads.quoting import RehearsedWorkload

_PATIENCE_SECONDS = 60.0
"""How long all questions to one provider may take."""
_Find = Callable[[str], dict[str, Any]]
"""A backend's name to the document of its quote."""
_WHAT = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD|SCRIPT.py",
        help="What would be trained, such as digits, or a program of your own.",
        autocompletion=complete_workloads,
    ),
]
_LIVE = Annotated[
    bool,
    typer.Option("--live", help="Also ask the providers for their own estimates: needs their keys, and sends no job."),
]
_BACKENDS = Annotated[
    list[str] | None,
    typer.Option(
        "--backend", help="Where circuits would run; may be given again. [all]", autocompletion=complete_backends
    ),
]


def quote(
    context: typer.Context,
    workload: _WHAT,
    backend: _BACKENDS = None,
    shots: ShotsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    limit: LimitOption = None,
    gradient: GradientOption = None,
    data_dir: DataDirOption = None,
    seed: SeedOption = None,
    live: _LIVE = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a training would buy: jobs, executions, shots and money per step, epoch and run.

    Without --backend all backends are compared that have a price. Needs no key and no network (but for --live), and
    sends no job.

    A program of your own, SCRIPT.py, is run unchanged, with made-up values in place of the backend's, once for each
    --backend; its own arguments stand after --.
    """
    options: dict[str, Any] = {
        "shots": shots, "data_dir": data_dir, "epochs": epochs, "batch_size": batch_size, "limit": limit,
        "gradient": gradient, "seed": seed,
    }  # fmt: skip
    named = list(dict.fromkeys(backend or ()))
    if is_script(workload):
        example = f"qorch quote {workload} --backend B"
        refuse_for_script(context, workload, options | {"live": live or None}, example=example)
        if not named:
            raise UsageError(f"give a --backend (or several) on which {workload} would run; see `qorch backends`")
        find: _Find = partial(_quote_script, workload, script_arguments(context), is_quiet=as_json)
    else:
        if live and not named:
            raise UsageError("--live asks providers, and needs a key for each: name them with --backend")
        find = _quote_workload(context, workload, options, is_live=live)
    _show(find, workload, named, as_json=as_json)


def _show(find: _Find, subject: str, named: list[str], *, as_json: bool) -> None:
    """Print the quotes of the backends that were named, or of all that have a price."""
    from qorch.cli.quote_table import print_comparison, print_quote
    from qorch.config import read_config
    from qorch.prices import load_prices

    if len(named) == 1:
        # Of the one backend that was asked for, an error is the command's own.
        document = find(named[0])
        if as_json:
            print_json(document)
        else:
            print_quote(document)
        return
    wrong = (UnknownNameError,) if named else ()
    names = named or load_prices(read_config()).examples()
    documents = [_find_or_explain(find, name, wrong=wrong) for name in names]
    if as_json:
        print_json({"script" if is_script(subject) else "workload": subject, "quotes": documents})
    else:
        print_comparison(subject, documents)


def _quote_workload(context: typer.Context, name: str, options: dict[str, Any], *, is_live: bool) -> _Find:
    """A function that gives the document of a backend's quote."""
    from qorch.cli.settings import as_options, new_settings, with_defaults
    from qorch.config import read_config
    from qorch.prices import load_prices

    job, own = read_workload(name, context, command="quote")
    given = read_given(own=own, **options)
    config = read_config()
    settings = with_defaults(new_settings(job.name, given), job)
    return _prepare(job, as_options(settings), load_prices(config), config=config, is_live=is_live)


def _quote_script(script: str, arguments: Sequence[str], backend: str, *, is_quiet: bool) -> dict[str, Any]:
    from qorch.backends import find_entry_point
    from qorch.cli.script_process import quote_in_process

    find_entry_point(backend)
    return quote_in_process(Path(script), arguments, backend=backend, is_quiet=is_quiet)


def _prepare(workload: "Workload", options: "Options", book: "PriceBook", *, config: "Config", is_live: bool) -> _Find:
    """A function that gives the document of a backend's quote. The training is checked and rehearsed, once for all."""
    from qorch.backends import plan_offline
    from qorch.cli.quote_table import describe_quote
    from qorch.model.prices.book import decide_price
    from qorch.ports.clock import WallClock
    from qorch.workloads.quoting import quote_workload, rehearse_workload

    rehearsed, clock = rehearse_workload(workload.outline(options)), WallClock()

    def find(name: str) -> dict[str, Any]:
        planner = plan_offline(name, config=config, clock=clock)
        card = decide_price(name, charges=planner.capabilities.charges, book=book)
        found = quote_workload(rehearsed, planner, card, default_shots=None)
        document = describe_quote(found, workload=workload.name, shots=options.shots, today=clock.now().date())
        return document | {"live": _ask_provider(rehearsed, planner, config=config)} if is_live else document

    return find


def _ask_provider(rehearsed: "RehearsedWorkload", planner: "OfflinePlanner", *, config: "Config") -> dict[str, Any]:
    """The provider's own estimate of the whole training; ``spend`` is null if it is in no money."""
    from qorch.backends import open_backend
    from qorch.ports.clock import WallClock
    from qorch.workloads.live_quotes import ask_for_cost

    async def ask() -> "Money | None":
        backend = open_backend(planner.name, config=config, clock=WallClock())
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await ask_for_cost(rehearsed, planner, backend, default_shots=None)
        except TimeoutError as error:
            sentence = f"{planner.name} did not say within {_PATIENCE_SECONDS:.0f} s what it estimates; try again"
            raise UnreachableError(sentence) from error
        finally:
            await backend.close()

    money = asyncio.run(ask())
    return {"spend": None if money is None else money.to_json()}


def _find_or_explain(find: _Find, name: str, *, wrong: tuple[type[QorchError], ...]) -> dict[str, Any]:
    """The document of a quote, or of why there is none; ``wrong``: errors that are the command's own."""
    try:
        return find(name)
    except wrong:
        raise
    except QorchError as error:
        return {"backend": name, "problem": str(error)}
