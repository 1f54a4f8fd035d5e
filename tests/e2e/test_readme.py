"""Everything that the README and the manuals tell a reader to type is typed here."""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qorch import errors
from qorch.cli.main import exit_code
from qorch.config import KNOWN_VARIABLES

HOUSE = Path(__file__).parents[2]
README = HOUSE / "README.md"
IONQ = HOUSE / "providers/qorch_providers/ionq/README.md"
BRAKET = HOUSE / "providers/qorch_providers/braket/README.md"
IBM = HOUSE / "providers/qorch_providers/ibm/README.md"
PLAN = HOUSE / "qorch/README.md"
COMMANDS = HOUSE / "qorch/cli/README.md"
RUNS = HOUSE / "qorch/run/README.md"
CACHE = HOUSE / "qorch/engine/README.md"
MANUALS = [
    README,
    IONQ,
    BRAKET,
    PLAN,
    COMMANDS,
    RUNS,
    CACHE,
    HOUSE / "qorch/bench/README.md",
    HOUSE / "providers/README.md",
]
_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_EVER_NEW = re.compile(r"digits-\d{8}-\d{6}-[0-9a-f]{4}|\d+\.\d+|\d+ ms in the median")


@dataclass(frozen=True)
class Shown:
    """A command of a manual and what it is said to print."""

    command: str
    output: list[str]

    @property
    def is_refused(self) -> bool:
        """Whether the manual shows it as an error."""
        return bool(self.output) and self.output[0].startswith("error: ")


def blocks(kind: str, *, manual: Path = README) -> list[str]:
    """The code blocks of one kind."""
    return [match["text"] for match in _BLOCK.finditer(manual.read_text()) if match["kind"] == kind]


def shown_commands(manual: Path) -> list[Shown]:
    """The commands of all console blocks, in order."""
    found: list[Shown] = []
    for line in "".join(blocks("console", manual=manual)).splitlines():
        if line.startswith("$ "):
            found.append(Shown(line.removeprefix("$ "), []))
        else:
            found[-1].output.append(line)
    return found


def normalise(line: str) -> str:
    """A line without what differs from run to run, and without the padding of columns that depends on it."""
    return " ".join(_EVER_NEW.sub("…", line).split())


@pytest.fixture
def background(qorch: Any) -> Iterator[Callable[..., None]]:
    """Start a command that goes on by itself, and wait until it says that it is there; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> None:
        process = qorch.start(*arguments)
        started.append(process)
        assert process.stdout.readline()

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("manual", "least"),
    [(README, 3), (COMMANDS, 20), (IONQ, 4), (BRAKET, 5), (IBM, 5)],
    ids=["readme", "commands", "ionq", "braket", "ibm"],
)
def test_every_command_of_the_manuals_does_what_it_says(
    typed: Any, background: Callable[..., None], monkeypatch: pytest.MonkeyPatch, manual: Path, least: int
) -> None:
    """Typed one after the other, each ends as shown, with the same counts; times, ids and the port differ."""
    commands = shown_commands(manual)
    assert len(commands) >= least
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    for shown in commands:
        program, *arguments = shlex.split(re.sub("876[567]", port, shown.command))
        if program == "export":
            for assignment in arguments:
                monkeypatch.setenv(*assignment.split("=", 1))
            continue
        assert program == "qorch"
        if arguments[-1] == "&":
            background(*arguments[:-1])
            continue
        outcome = typed(*arguments)
        is_unknown = "nonsense" in shown.command
        assert outcome.code == (2 if shown.is_refused or is_unknown else 0), (shown.command, outcome.err)
        printed = [normalise(line) for line in (outcome.out + outcome.err).splitlines()]
        for line in shown.output[: 2 if arguments[0] == "train" else 1]:
            assert normalise(line) in printed, (shown.command, outcome.out, outcome.err)


@pytest.mark.parametrize("manual", [README, RUNS, CACHE], ids=["readme", "runs", "cache"])
def test_python_of_the_manuals_runs_as_it_stands(qorch: Any, manual: Path) -> None:
    """Copied into a file, the examples run to their end with warnings as errors, and print what is shown below them."""
    code = "".join(blocks("python", manual=manual))
    assert code
    if manual == README:
        outcome = qorch.run_python_afresh(code, "-W", "error::UserWarning")
    else:
        outcome = qorch.run_python(f"import warnings\nwarnings.simplefilter('error', UserWarning)\n{code}")
    assert outcome.code == 0, outcome.err
    shown = "".join(blocks("text", manual=manual))
    assert outcome.out
    assert not shown or outcome.out == shown


@pytest.mark.parametrize("manual", MANUALS, ids=lambda manual: str(manual.relative_to(HOUSE)))
def test_manuals_have_whole_tables_and_links(manual: Path) -> None:
    """No empty line between two rows, which would end the table; every link within the house leads to a file."""
    text = manual.read_text()
    assert not re.search(r"^\|.*\n\n\|", text, re.MULTILINE)
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (manual.parent / link).exists()] == []


@pytest.mark.parametrize("manual", MANUALS, ids=lambda manual: str(manual.relative_to(HOUSE)))
def test_links_to_a_heading_lead_to_one(manual: Path) -> None:
    """Each link with a `#` names a heading of the manual that it leads to, as GitHub writes headings in links."""
    for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", manual.read_text()):
        headings = re.findall(r"^#+ (.+)$", (manual.parent / file if file else manual).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, f"{file}#{anchor}"


def test_the_readme_leads_to_every_manual() -> None:
    """Each manual in the repository is linked from the README, so that nothing that was moved there is lost."""
    found = {path for root in ("qorch", "providers", "jobs_db") for path in (HOUSE / root).rglob("README.md")}
    linked = {README.parent / link for link in re.findall(r"\]\(([^)#:]+)", README.read_text())}
    assert found - linked == set()


def test_the_readme_tells_what_to_do_for_every_kind_of_error() -> None:
    """Each class in its table has the exit code that the command line gives it; every branch of the tree is there."""
    section = README.read_text().partition("## When something is wrong\n")[2].partition("\n#")[0]
    codes: dict[str, str] = {}
    for names, code in re.findall(r"^\| (`.+?) \| (\d) \|", section, re.MULTILINE):
        codes |= dict.fromkeys(re.findall(r"`(\w+Error)`", names), code)
    assert {name: exit_code(getattr(errors, name)("")) for name in codes} == {n: int(c) for n, c in codes.items()}
    branches = errors.QorchError.__subclasses__() + errors.RunError.__subclasses__()
    assert {branch.__name__ for branch in branches if branch.__module__ == errors.__name__} - {"RunError"} <= set(codes)


def test_the_manual_has_every_variable_of_the_environment() -> None:
    """The table of the command line's manual has all that qorch reads, and nothing else that begins with QORCH_."""
    section = COMMANDS.read_text().partition("## Environment\n")[2]
    assert set(re.findall(r"^\| `(QORCH_\w+)`", section, re.MULTILINE)) == set(KNOWN_VARIABLES)


def table_rows(heading: str) -> list[tuple[str, str]]:
    """The rows of the table with two columns below a heading of the house's plan."""
    section = PLAN.read_text().partition(f"{heading}\n")[2].partition("\n#")[0]
    _, _, *rows = re.findall(r"^\| (.+) \| (.+) \|$", section.replace("|---|---|", "| - | - |"), re.MULTILINE)
    return rows


def test_the_plan_names_every_room() -> None:
    """Each module and package of qorch stands in the table of the house, and everything in it exists."""
    named = {path for where, _ in table_rows("# The house") for path in re.findall(r"`(\w+/[^`]+)`", where)}
    rooms = {path for path in (HOUSE / "qorch").iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"}
    missing = {str(path.relative_to(HOUSE)) for path in rooms if path.name != "__init__.py"} - named
    assert missing == set()
    assert [path for path in named if not (HOUSE / path).exists()] == []


def test_to_change_something_go_to_files_that_exist() -> None:
    """At least twenty rows, each with a file or folder of this repository."""
    rows = table_rows("## To change something, go to")
    assert len(rows) >= 20
    for change, places in rows:
        paths = re.findall(r"`(\w+/[^`]+)`", places)
        assert paths, change
        assert [path for path in paths if not (HOUSE / path).exists()] == [], change


def test_make_knows_every_target_of_the_readme() -> None:
    """Each `make` command that the README names is a target."""
    targets = set(re.findall(r"`?make (\w+)", README.read_text()))
    assert {"demo", "test", "check", "bench", "soak"} <= targets
    done = subprocess.run(
        ["make", "--dry-run", *sorted(targets)],
        cwd=README.parent,
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
