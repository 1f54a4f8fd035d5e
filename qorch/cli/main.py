"""The command `qorch`: its sub-commands, and the one place where errors become exit codes."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from qorch import __version__
from qorch.cli import (
    audit,
    backends,
    bench,
    cache,
    cancel,
    compare,
    delete,
    doctor,
    dry_run,
    emulate,
    export,
    jobs,
    latency,
    plot,
    prices,
    profile,
    quote,
    recover,
    report,
    runs,
    show,
    sweep,
    sweeps,
    train,
    ui,
)
from qorch.cli.arguments import fill_resume
from qorch.cli.exit_codes import DONE, FAILED, HELD_JOBS, INTERRUPTED, OVER_BUDGET, WRONG_USAGE
from qorch.cli.output import print_aside
from qorch.cli.train_help import QuoteCommand, TrainCommand
from qorch.config import calm_openmp
from qorch.errors import BudgetError, QorchError, UnknownOutcomeError, UsageError
from qorch.model.text import printable

app = typer.Typer(
    help="Run hybrid quantum-classical training on any quantum backend.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command(cls=TrainCommand, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train.train)
app.command(cls=QuoteCommand, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(sweep.sweep)
app.command()(sweeps.sweeps)
app.command(cls=QuoteCommand, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    compare.compare
)
app.command()(runs.runs)
app.command()(show.show)
app.command()(jobs.jobs)
app.command()(cancel.cancel)
app.command()(recover.recover)
app.command()(report.report)
app.command()(latency.latency)
app.command()(ui.ui)
app.command()(plot.plot)
app.command()(export.export)
app.command()(delete.delete)
app.add_typer(cache.app, name="cache")
app.add_typer(audit.app, name="audit")
app.command()(backends.backends)
app.command()(prices.prices)
app.add_typer(profile.app, name="profile")
app.command(cls=QuoteCommand, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(quote.quote)
app.command("dry-run", cls=QuoteCommand, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    dry_run.dry_run
)
app.command()(bench.bench)
app.command()(doctor.doctor)
app.command(help=emulate.HELP)(emulate.emulate)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks, as QORCH_DEBUG=1 does; may stand anywhere.")
    ] = False,
) -> None:
    """Run hybrid quantum-classical training on any quantum backend."""
    if version:
        typer.echo(f"qorch {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code; see the README for the codes."""
    calm_openmp()
    _prepare_streams()
    code = run_command(sys.argv[1:] if arguments is None else arguments)
    _silence_broken_streams()
    sys.exit(code)


def _prepare_streams() -> None:
    """Replace standard streams that the caller closed by /dev/null; characters that cannot be encoded become ``?``."""
    # In this order: each takes the lowest number that is free, so that no database gets the number of a stream, to
    # which something might be printed.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _silence_broken_streams() -> None:
    """Drop what is left in a standard stream that cannot be written: the interpreter would report it when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run_command(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. An error becomes one line on stderr."""
    wanted = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(args=fill_resume(wanted), prog_name="qorch", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if len(wanted) < len(arguments) or _wants_debug():
            print_aside(traceback.format_exc().rstrip())
        print_aside(f"error: {describe(error)}")
        return exit_code(error)
    return code if isinstance(code, int) else DONE


def exit_code(error: Exception) -> int:
    """The exit code that an error stands for."""
    if isinstance(error, typer.TyperException):
        return error.exit_code
    if isinstance(error, UsageError):
        return WRONG_USAGE
    if isinstance(error, BudgetError):
        return OVER_BUDGET
    return HELD_JOBS if isinstance(error, UnknownOutcomeError) else FAILED


def describe(error: Exception) -> str:
    """The error as one line for the user; for an error of another kind than QorchError it says how to report it."""
    if isinstance(error, typer.TyperException):
        text = error.format_message()
    elif isinstance(error, QorchError):
        text = str(error)
    else:
        text = f"unexpected {type(error).__name__}: {error}; run it again with --debug, and report what it says"
    return printable(" ".join(text.split()))


def _wants_debug() -> bool:
    from qorch.config import wants_debug

    return wants_debug()


if __name__ == "__main__":
    main()
