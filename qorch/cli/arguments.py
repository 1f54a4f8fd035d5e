"""What typer cannot express: an option whose value may be left out, and options that only a workload knows."""

from collections.abc import Sequence

from qorch.errors import UsageError

LATEST = "latest"


def fill_resume(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``--resume`` completed to ``--resume=latest`` where no run follows it."""
    filled = list(arguments)
    for index, argument in enumerate(filled):
        following = filled[index + 1 : index + 2]
        if argument == "--resume" and (not following or following[0].startswith("-")):
            filled[index] = f"--resume={LATEST}"
    return filled


def read_own_options(arguments: Sequence[str]) -> dict[str, str]:
    """``--x value`` and ``--x=value`` by name. Raises UsageError for anything else."""
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not name:
            raise UsageError(f"'{argument}' is not expected here; see `qorch train --help`")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"--{name} needs a value, such as --{name}=1; see `qorch train --help`")
            value = rest.pop(0)
        options[name] = value
    return options
