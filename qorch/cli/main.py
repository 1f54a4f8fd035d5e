"""The command `qorch`: its sub-commands, and the one place where errors become exit codes."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from qorch import __version__
from qorch.cli import backends, bench, cache, cancel, doctor, emulate, jobs, recover, report, runs, show, train
from qorch.cli.arguments import fill_resume
from qorch.cli.exit_codes import DONE, FAILED, HELD_JOBS, INTERRUPTED, OVER_BUDGET, WRONG_USAGE
from qorch.config import calm_openmp
from qorch.errors import BudgetError, QorchError, UnknownOutcomeError, UsageError

app = typer.Typer(
    help="Run hybrid quantum-classical training on any quantum backend.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train.train)
app.command()(runs.runs)
app.command()(show.show)
app.command()(jobs.jobs)
app.command()(cancel.cancel)
app.command()(recover.recover)
app.command()(report.report)
app.add_typer(cache.app, name="cache")
app.command()(backends.backends)
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
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. An error becomes one line on stderr."""
    wanted = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(args=fill_resume(wanted), prog_name="qorch", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has gone; the interpreter would complain about it once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if len(wanted) < len(arguments) or _wants_debug():
            traceback.print_exc()
        print(f"error: {describe(error)}", file=sys.stderr)
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
    """One line for the user; an error that is not raised on purpose says what to do with it."""
    if isinstance(error, typer.TyperException):
        text = error.format_message()
    elif isinstance(error, QorchError):
        text = str(error)
    else:
        text = f"unexpected {type(error).__name__}: {error}; run it again with --debug, and report what it says"
    return " ".join(text.split())


def _wants_debug() -> bool:
    from qorch.config import wants_debug

    return wants_debug()


if __name__ == "__main__":
    main()
