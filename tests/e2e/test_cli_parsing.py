"""The small parsers of the command line."""

import datetime
import re
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from qorch.cli.arguments import check_own_names, fill_resume, read_own_options, whole_number
from qorch.cli.cache import read_age
from qorch.cli.filesystems import innermost, read_linux_mounts, read_macos_mounts
from qorch.cli.main import run_command
from qorch.cli.output import format_bytes, plain_lines
from qorch.errors import UsageError

WORDS = st.text("abcxyz", min_size=1, max_size=5)


@given(st.dictionaries(WORDS, WORDS, max_size=4), st.booleans())
def test_own_options_come_back_as_they_were_given(options: dict[str, str], joined: bool) -> None:
    """Both ways of writing a value are read."""
    pairs = [[f"--{name}={value}"] if joined else [f"--{name}", value] for name, value in options.items()]
    assert read_own_options([part for pair in pairs for part in pair]) == options


def test_a_negative_number_is_a_value() -> None:
    """Only a word with two dashes begins another option."""
    assert read_own_options(["--lr", "-0.5"]) == {"lr": "-0.5"}


@pytest.mark.parametrize("arguments", [["x"], ["--"], ["--x"], ["--x", "--y", "1"], ["-x", "1"], ["--=1"]])
def test_what_is_no_option_is_refused(arguments: list[str]) -> None:
    """Stray words, missing values and missing names."""
    with pytest.raises(UsageError):
        read_own_options(arguments)


@pytest.mark.parametrize(
    ("argument", "advice"),
    [("--epoch", "--epochs"), ("--lern-rate=1", "see `qorch train digits --help`"), ("--clases=3,6", "--classes")],
)
def test_a_misspelt_option_is_told_the_real_one(argument: str, advice: str) -> None:
    """Of the command's options and the workload's own; a value of its own may look like anything."""
    shared, own = ["epochs", "seed"], ["classes", "lr"]
    check_own_names(["--lr", "-1", "--classes=--x"], workload="digits", own=own, shared=shared)
    with pytest.raises(UsageError, match=re.escape(advice)):
        check_own_names([argument, "3"], workload="digits", own=own, shared=shared)


@pytest.mark.parametrize("text", ["-1", "11", "1e3", "1.0", "", "٣", "x", " 3"])
def test_a_wrong_number_is_told_its_range(text: str) -> None:
    """Whole numbers in plain digits, within the bounds."""
    parse = whole_number(0, 10)
    assert [parse("0"), parse("10")] == [0, 10]
    with pytest.raises(typer.BadParameter, match="whole number from 0 to 10"):
        parse(text)


@pytest.mark.parametrize(
    ("given_arguments", "filled"),
    [
        (["train", "digits", "--resume"], ["train", "digits", "--resume=latest"]),
        (["train", "digits", "--resume", "--json"], ["train", "digits", "--resume=latest", "--json"]),
        (["train", "digits", "--resume", "r"], ["train", "digits", "--resume", "r"]),
        (["train", "digits", "--resume=r"], ["train", "digits", "--resume=r"]),
    ],
)
def test_resume_alone_means_the_latest(given_arguments: list[str], filled: list[str]) -> None:
    """A following word is the run's name, a following option is not."""
    assert fill_resume(given_arguments) == filled


def test_ages_have_units() -> None:
    """Minutes, hours, days and weeks."""
    assert read_age("45m") == datetime.timedelta(minutes=45)
    assert read_age("2w") == datetime.timedelta(days=14)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 d", "99999w", "٣d", "1y"])
def test_what_is_no_age_is_refused(text: str) -> None:
    """Only plain digits with a known unit, and no age that a calendar cannot hold."""
    with pytest.raises(UsageError):
        read_age(text)


def test_the_nearest_mount_counts() -> None:
    """A folder lies on the deepest mount above it, and on the later one of two at one place."""
    mounts = [(Path("/"), "ext4"), (Path("/home"), "nfs4"), (Path("/homestead"), "xfs"), (Path("/home"), "tmpfs")]
    assert innermost(Path("/home/me"), mounts) == "tmpfs"
    assert innermost(Path("/var"), mounts) == "ext4"
    assert innermost(Path("/var"), []) is None


def test_mounts_of_linux_and_macos_are_read() -> None:
    """Spaces in a folder's name are written as octal on Linux and as they are on macOS."""
    linux = "/dev/vda / ext4 rw 0 0\nhost:/x /my\\040home nfs4 rw 0 0\n"
    assert read_linux_mounts(linux) == [(Path("/"), "ext4"), (Path("/my home"), "nfs4")]
    macos = "/dev/disk3s1s1 on / (apfs, sealed, local)\n//me@nas/x on /Volumes/my nas (smbfs, nodev)\n"
    assert read_macos_mounts(macos) == [(Path("/"), "apfs"), (Path("/Volumes/my nas"), "smbfs")]


def test_sizes_and_tables_are_readable() -> None:
    """Binary units with one decimal; columns as wide as their widest cell."""
    assert [format_bytes(size) for size in (0, 1023, 1536, 5 * 2**30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    assert plain_lines([["a", "bb"], ["ccc", ""]]) == ["a    bb", "ccc"]


def test_the_help_of_a_workload_has_its_options_and_all_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the workload stand below the shared ones; without a workload, or with an unknown one, there are none."""
    helps = []
    for words in (["train", "digits", "--help"], ["train", "--help"], ["train", "nonsense", "--help"]):
        assert run_command(words) == 0
        helps.append(capsys.readouterr().out)
    for line in ("--classes", "[3,6]", "--lr", "[0.05]", "--epochs      5", "--shots       1024", "parameter-shift"):
        assert line in helps[0], line
    assert "--lr" not in helps[1] + helps[2]
