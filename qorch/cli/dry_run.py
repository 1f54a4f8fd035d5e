"""`qorch dry-run`: a whole training or program on a mock of a backend and a virtual clock, and what it foretells."""

from pathlib import Path
from typing import Annotated, Any

import typer

from qorch.cli.arguments import whole_number
from qorch.cli.completion import complete_backends, complete_workloads
from qorch.cli.dry_run_order import DryRunOrder
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

_FUTURES = 20
"""See ``qorch.dry_run.forecast.DEFAULT_FUTURES``, which is not loaded for the help."""
_MOST_FUTURES = 10_000
_WHAT = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD|SCRIPT.py",
        help="What would be trained, such as digits, or a program of your own.",
        autocompletion=complete_workloads,
    ),
]
_AS = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="BACKEND",
        help="The backend that is mocked, with options of its own and of mocks: ionq:qpu.forte-1,profile=F.toml.",
        autocompletion=complete_backends,
    ),
]
_COMPUTE = Annotated[
    float | None,
    typer.Option(
        "--compute-seconds",
        metavar="S",
        min=0.0,
        help="What the model itself computes in a step; nothing else computed here takes time. [it is measured]",
    ),
]
_BUDGET = Annotated[
    str | None,
    typer.Option(help='The most that a run may cost, such as "25 USD": whether it suffices, and where it would stop.'),
]
_HOW_MANY = Annotated[
    int,
    typer.Option("--futures", metavar="N", parser=whole_number(1, _MOST_FUTURES), help="How many courses are drawn."),
]
_WHAT_IF = Annotated[
    list[str] | None,
    typer.Option(
        "--what-if",
        metavar="K=V,…",
        help="Compare with other workers=, pack=, gradient= (of workloads) or shots=; may be given again.",
    ),
]


def dry_run(
    context: typer.Context,
    workload: _WHAT,
    mocked: _AS,
    shots: ShotsOption = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    limit: LimitOption = None,
    gradient: GradientOption = None,
    data_dir: DataDirOption = None,
    seed: SeedOption = None,
    compute_seconds: _COMPUTE = None,
    budget: _BUDGET = None,
    futures: _HOW_MANY = _FUTURES,
    what_if: _WHAT_IF = None,
    as_json: JsonOption = False,
) -> None:
    """Run a whole training on a mock of a backend, and foretell its cost, its time and its faults.

    Results are really simulated; the hours in queues pass on a virtual clock. Needs no key and no network, sends
    nothing, and keeps nothing.

    A program of your own, SCRIPT.py, is run unchanged, with backend, database, budget and clock replaced; its own
    arguments stand after --.
    """
    options: dict[str, Any] = {
        "shots": shots, "data_dir": data_dir, "epochs": epochs, "batch_size": batch_size, "limit": limit,
        "gradient": gradient, "seed": seed,
    }  # fmt: skip
    order = DryRunOrder(
        mocked, futures, seed or 0, not as_json, compute_seconds=compute_seconds, budget=budget,
        what_ifs=tuple(what_if or ()),
    )  # fmt: skip
    _check(order, is_program=is_script(workload))
    if is_script(workload):
        refuse_for_script(context, workload, options, example=f"qorch dry-run {workload} --as {mocked}")
        document = _dry_run_script(workload, context, order)
    else:
        document = _dry_run_workload(workload, context, options, order)
    if as_json:
        print_json(document)


def _check(order: DryRunOrder, *, is_program: bool) -> None:
    """Raise UsageError for what is wrong anyway, before anything is loaded or run."""
    from qorch.backends import find_entry_point, plan_offline
    from qorch.config import read_config
    from qorch.dry_run.what_if import parse_what_if
    from qorch.limits import check_exact_gradients, check_shots
    from qorch.model.backend_name import name_mock
    from qorch.model.money import parse_money
    from qorch.ports.clock import WallClock

    find_entry_point(order.backend)
    mock, config, clock = name_mock(order.backend), read_config(), WallClock()
    plan_offline(mock, config=config, clock=clock)
    if order.budget is not None:
        parse_money(order.budget)
    for text in order.what_ifs:
        what_if = parse_what_if(text)
        if is_program:
            what_if.check_script()
        other = plan_offline(what_if.rename(mock), config=config, clock=clock)
        if what_if.shots is not None:
            check_shots(other, what_if.shots)
        if what_if.gradient == "exact":
            check_exact_gradients(other)


def _dry_run_script(script: str, context: typer.Context, order: DryRunOrder) -> dict[str, Any]:
    from qorch.cli.script_process import dry_run_in_process

    return dry_run_in_process(Path(script), script_arguments(context), order)


def _dry_run_workload(name: str, context: typer.Context, options: dict[str, Any], order: DryRunOrder) -> dict[str, Any]:
    from qorch.cli.dry_run_work import dry_run_workload
    from qorch.cli.settings import as_options, new_settings, with_defaults

    job, own = read_workload(name, context, command="dry-run")
    settings = with_defaults(new_settings(job.name, read_given(own=own, **options)), job)
    return dry_run_workload(job, as_options(settings), order)
