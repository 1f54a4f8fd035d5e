"""Runs a program of the user's own as it is, with another ``start_run`` in place of qorch's."""

import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qorch import wiring
from qorch.errors import UsageError
from qorch.run.run import Run


@contextmanager
def start_replaced(start: Callable[..., Run]) -> Iterator[Callable[..., Run]]:
    """Inside of this block ``qorch.start_run`` is ``start``, in every thread; yields the real one."""
    real = wiring.start_run
    vars(wiring)["start_run"] = start
    try:
        yield real
    finally:
        vars(wiring)["start_run"] = real


def run_program(script: Path, arguments: Sequence[str]) -> None:
    """Run it as ``python SCRIPT ARGUMENTS`` does; its own errors are raised. The process should be one of its own."""
    sys.argv = [str(script), *arguments]
    sys.path[0] = os.fspath(script.resolve().parent)
    runpy.run_path(str(script), run_name="__main__")


def run_or_explain(script: Path, arguments: Sequence[str], *, before: str) -> None:
    """The same; raises UsageError if it ends with an error. ``before``: what is not done then, as ``it was quoted``."""
    try:
        run_program(script, arguments)
    except SystemExit as error:
        if error.code:
            raise UsageError(f"{script} has ended with exit code {error.code}, before {before}") from error
    except Exception as error:
        raise UsageError(f"{script} has failed{line_of(error, script)}: {last_line(error)}") from error


def line_of(error: BaseException, script: Path) -> str:
    """Such as `` in line 12``: the innermost line of the program itself."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(script)]
    return f" in line {lines[-1]}" if lines else ""


def last_line(error: BaseException) -> str:
    """What Python prints last of an error, such as ``ValueError: no such file``."""
    return " ".join(traceback.format_exception_only(error)[-1].split())
