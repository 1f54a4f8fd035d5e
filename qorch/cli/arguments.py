"""What typer cannot express: an option whose value may be left out, and options that only a workload knows."""

import difflib
from collections.abc import Callable, Collection, Sequence

import typer

from qorch.config import LATEST
from qorch.errors import UsageError


def fill_resume(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``--resume`` completed to ``--resume=latest`` if no run follows it."""
    filled = list(arguments)
    for index, argument in enumerate(filled):
        following = filled[index + 1 : index + 2]
        if argument == "--resume" and (not following or following[0].startswith("-")):
            filled[index] = f"--resume={LATEST}"
    return filled


def whole_number(least: int, most: int) -> Callable[[str | int], int]:
    """A typer parser for whole numbers in a range; its error names the option and the range."""

    def parse(given: str | int) -> int:
        # typer hands over an option's default as it is.
        text = str(given)
        number = int(text) if text.removeprefix("-").isdecimal() and text.isascii() else None
        if number is None or not least <= number <= most:
            raise typer.BadParameter(f"it is '{text}', and must be a whole number from {least} to {most}")
        return number

    return parse


def check_own_names(arguments: Sequence[str], *, workload: str, own: Collection[str], shared: Collection[str]) -> None:
    """Raise UsageError for an option that neither the workload nor the command has; it names those that are alike."""
    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0]
        if not argument.startswith("--") or name in {"", *own}:
            continue
        alike = difflib.get_close_matches(name, (*own, *shared), n=2)
        if alike:
            raise UsageError(f"{workload} has no option --{name}; did you mean --{' or --'.join(alike)}?")
        listed = ", ".join(f"--{option}" for option in own) or "none"
        raise UsageError(
            f"{workload} has no option --{name}; its own options are {listed}; see `qorch train {workload} --help`"
        )


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
