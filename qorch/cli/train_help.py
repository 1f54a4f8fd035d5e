"""`qorch train WORKLOAD --help`: the options of that workload too, and their defaults; what stands after ``--``."""

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from qorch.errors import QorchError

if TYPE_CHECKING:
    from qorch.workloads.base import Workload

_WORKLOAD = "qorch.workload"
_ARGUMENTS = "qorch.script_arguments"


class TrainCommand(TyperCommand):
    """A command whose help depends on its first argument, the name of a workload."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember the workload for ``format_options``, which does not get the arguments."""
        ctx.meta[_WORKLOAD] = next((argument for argument in args if not argument.startswith("-")), None)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options that all workloads share, and those of the workload that was named."""
        super().format_options(ctx, formatter)
        workload = _find_workload(ctx.meta.get(_WORKLOAD))
        if workload is None:
            from qorch.workloads import workload_names

            with formatter.section("Workloads"):
                formatter.write_text(", ".join(workload_names()))
            return
        own = workload.defaults.own
        with formatter.section(f"Options of {workload.name}"):
            formatter.write_dl(
                [
                    (f"--{name}", f"{text}. [{own[name]}]" if name in own else f"{text}.")
                    for name, text in workload.own_options.items()
                ]
            )
        with formatter.section(f"Defaults of {workload.name}"):
            formatter.write_dl(_shared_defaults(workload))


class QuoteCommand(TrainCommand):
    """The same, but that its first argument may be a program, whose own arguments stand after ``--``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the program's arguments for ``script_arguments``."""
        own: list[str] = []
        if "--" in args and any(is_script(argument) for argument in args[: args.index("--")]):
            place = args.index("--")
            args, own = args[:place], args[place + 1 :]
        ctx.meta[_ARGUMENTS] = own
        return super().parse_args(ctx, args)


def is_script(name: str) -> bool:
    """Whether it names a program, and no workload."""
    return name.endswith(".py")


def script_arguments(context: Any) -> list[str]:
    """What stands after ``--`` in a command that QuoteCommand has read."""
    arguments: list[str] = context.meta[_ARGUMENTS]
    return arguments


def _find_workload(name: str | None) -> "Workload | None":
    from qorch.workloads import load_workload

    if name is None:
        return None
    try:
        return load_workload(name)
    except QorchError:
        # The help of the command does not depend on a package that is broken; the command itself says what is wrong.
        return None


def _shared_defaults(workload: "Workload") -> list[tuple[str, str]]:
    default = workload.defaults
    values = {
        "shots": "exact" if default.shots is None else default.shots,
        "epochs": default.epochs,
        "batch-size": default.batch_size,
        "limit": "all samples" if default.limit is None else default.limit,
        "gradient": default.gradient,
    }
    return [(f"--{name}", str(value)) for name, value in values.items()]
