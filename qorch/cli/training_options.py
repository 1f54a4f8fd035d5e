"""The options that decide what a training executes, which `qorch train`, `quote` and `dry-run` share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qorch.cli.arguments import check_own_names, read_own_options, whole_number
from qorch.cli.completion import complete_backends, complete_workloads
from qorch.errors import UsageError

if TYPE_CHECKING:
    from qorch.workloads.base import Workload

WorkloadArgument = Annotated[
    str,
    typer.Argument(metavar="WORKLOAD", help="What to train, such as digits.", autocompletion=complete_workloads),
]
BackendOption = Annotated[
    str | None,
    typer.Option(help="Where circuits run; see `qorch backends`. [local]", autocompletion=complete_backends),
]
ShotsOption = Annotated[str | None, typer.Option(metavar="N|exact", help="Shots per circuit, or exact values.")]
_COUNT = whole_number(1, 10**9)
EpochsOption = Annotated[
    int | None,
    typer.Option(metavar="N", parser=_COUNT, help="Passes over the data; `train --resume` takes more."),
]
BatchSizeOption = Annotated[int | None, typer.Option(metavar="N", parser=_COUNT, help="Samples per training step.")]
LimitOption = Annotated[int | None, typer.Option(metavar="N", parser=_COUNT, help="Use only the first N samples.")]
GradientOption = Annotated[str | None, typer.Option(metavar="G", help="Gradient method, such as spsa:directions=4.")]
DataDirOption = Annotated[Path | None, typer.Option(metavar="D", help="The folder of the workload's data.")]
SeedOption = Annotated[
    int | None, typer.Option(metavar="N", parser=whole_number(0, 2**63 - 1), help="The seed of all random numbers. [0]")
]


def read_workload(name: str, context: typer.Context, *, command: str) -> "tuple[Workload, dict[str, str]]":
    """The workload of that name, and the values of the options that it alone has.

    Raises UnknownNameError for another name, UsageError for an option that neither it nor the command has.
    """
    from qorch.workloads import load_workload

    if name.startswith("-"):
        raise UsageError(f"write the workload before {name}, as in `qorch {command} digits {name} …`")
    workload = load_workload(name)
    shared = [option.removeprefix("--") for each in context.command.params for option in each.opts]
    check_own_names(context.args, workload=name, own=workload.own_options, shared=shared)
    return workload, read_own_options(context.args)


def read_given(*, shots: str | None, data_dir: Path | None, own: dict[str, str], **others: object) -> dict[str, object]:
    """The settings that were given, by name, as `new_settings` takes them. Raises UsageError for a number of shots."""
    from qorch.cli.settings import read_shots

    options: dict[str, object] = {
        **others,
        "shots": None if shots is None else read_shots(shots),
        "data_dir": None if data_dir is None else str(data_dir),
        "own": own or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def refuse_for_script(context: typer.Context, script: str, options: dict[str, object], *, example: str) -> None:
    """Raise UsageError for options of a workload, which a program does not have. ``example``: the command without."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if unexpected := [*given, *context.args]:
        raise UsageError(
            f"{script} is a program, to which qorch gives no {unexpected[0]}; what is its own stands after --, as in"
            f" `{example} -- {unexpected[0]}`"
        )
