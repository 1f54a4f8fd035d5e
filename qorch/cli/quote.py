"""`qorch quote`: what a training would buy, on one backend or on all that have a price; nothing is sent."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.completion import complete_backends
from qorch.cli.options import JsonOption
from qorch.cli.output import print_json
from qorch.cli.training_options import (
    BatchSizeOption,
    DataDirOption,
    EpochsOption,
    GradientOption,
    LimitOption,
    SeedOption,
    ShotsOption,
    WorkloadArgument,
    read_given,
    read_workload,
)
from qorch.errors import QorchError, UnknownNameError

if TYPE_CHECKING:
    from qorch.config import Config
    from qorch.model.prices.book import PriceBook
    from qorch.workloads.base import Options, Workload

_BACKENDS = Annotated[
    list[str] | None,
    typer.Option(
        "--backend", help="Where circuits would run; may be given again. [all]", autocompletion=complete_backends
    ),
]


def quote(
    context: typer.Context,
    workload: WorkloadArgument,
    backend: _BACKENDS = None,
    shots: ShotsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    limit: LimitOption = None,
    gradient: GradientOption = None,
    data_dir: DataDirOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a training would buy: jobs, executions, shots and money per step, epoch and run.

    Without --backend all backends are compared that have a price. Needs no key and no network, and sends nothing.
    """
    from qorch.cli.quote_table import print_comparison, print_quote
    from qorch.cli.settings import as_options, new_settings, with_defaults
    from qorch.config import read_config
    from qorch.prices import load_prices

    job, own = read_workload(workload, context, command="quote")
    given = read_given(
        shots=shots, data_dir=data_dir, own=own, epochs=epochs, batch_size=batch_size, limit=limit, gradient=gradient,
        seed=seed,
    )  # fmt: skip
    config = read_config()
    book = load_prices(config)
    find = _prepare(job, as_options(with_defaults(new_settings(job.name, given), job)), book, config=config)
    named = list(dict.fromkeys(backend or ()))
    if len(named) == 1:
        # Of the one backend that was asked for, an error is the command's own.
        document = find(named[0])
        if as_json:
            print_json(document)
        else:
            print_quote(document)
        return
    wrong = (UnknownNameError,) if named else ()
    documents = [_find_or_explain(find, name, wrong=wrong) for name in named or book.examples()]
    if as_json:
        print_json({"workload": job.name, "quotes": documents})
    else:
        print_comparison(job.name, documents)


def _prepare(
    workload: "Workload", options: "Options", book: "PriceBook", *, config: "Config"
) -> Callable[[str], dict[str, Any]]:
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
        return describe_quote(found, workload=workload.name, shots=options.shots, today=clock.now().date())

    return find


def _find_or_explain(
    find: Callable[[str], dict[str, Any]], name: str, *, wrong: tuple[type[QorchError], ...]
) -> dict[str, Any]:
    """The document of a quote, or of why there is none; ``wrong``: errors that are the command's own."""
    try:
        return find(name)
    except wrong:
        raise
    except QorchError as error:
        return {"backend": name, "problem": str(error)}
