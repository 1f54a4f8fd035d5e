"""What all tests share: no test ever touches the user's own database or settings."""

import gc
import hashlib
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples every time: a change is judged by them, and not by the luck of a run. `make soak` looks for others.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None)
settings.load_profile("steady")

UNITS = (
    "tests/e2e/", "tests/crash/", "tests/conformance/test_backends", "tests/conformance/test_ibm_fake",
    "tests/emulator/test_braket_sdk", "tests/emulator/test_ibm_sdk",
)  # fmt: skip
"""What begins so is a unit of work under ``-n``, file by file: its tests share processes, servers or databases."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Under ``-m serial…`` and ``-m soak…``, files without such tests are not imported: all together take 20 s."""
    mark = re.match("serial|soak", config.option.markexpr)
    if mark is None or collection_path.suffix != ".py":
        return None
    return f"mark.{mark[0]}" not in collection_path.read_text() or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under ``-n``, tests of kernels come first, and beside them files that use none: no kernel is compiled twice.

    Then come the other files that are a unit of work, and single tests last, so that no worker waits long for another.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    file = item.nodeid.split("::")[0]
    if "/test_local_" in file:
        return 0
    if not file.startswith(UNITS):
        return 3
    return 1 if "/test_ionq_" in file else 2


def pytest_collection_finish() -> None:
    """The collector of garbage need not look again and again at what the tests have imported."""
    gc.collect()
    gc.freeze()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under ``-n``, tests that share something costly run in one worker; see also ``pytest_collection_modifyitems``."""
    config.option.loadscopereorder = False
    from xdist.scheduler import LoadScopeScheduling

    class SharingScheduling(LoadScopeScheduling):
        """A unit of work is all tests of kernels, a file whose tests share processes or servers, or one test."""

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if "/test_local_" in file:
                return "kernels"  # two workers would both compile those that are not on the disk yet
            return file if file.startswith(UNITS) else nodeid

    return SharingScheduling(config, log)


REFERENCE_SECONDS = 0.015
"""Of the reference, on the machine of the bounds: not measured there, but chosen. A machine that needs 30 ms needs 258
to 275 µs for a packed circuit on IonQ's wire, where the machine of the bounds needed 109 to 148 with the same code."""


@pytest.fixture
def slowness() -> Callable[[], float]:
    """How many times slower than the machine of the bounds this one is at work in plain Python, at least 1.

    A shared machine can be twice as fast a minute later: so it is the median of the reference right before the test and
    at the call, which follows upon what the test measures.
    """
    before = [_reference_seconds() for _ in range(5)]
    return lambda: max(1.0, statistics.median([*before, *(_reference_seconds() for _ in range(5))]) / REFERENCE_SECONDS)


def _reference_seconds() -> float:
    """CPU time of encoding, decoding and hashing 200 histograms of 40 outcomes, five times."""
    rows = [{"id": f"row-{row}", "counts": {str(k): k * row for k in range(40)}} for row in range(200)]
    begun = time.process_time()
    for _ in range(5):
        text = json.dumps(rows)
        hashlib.sha256(text.encode()).hexdigest()
        sorted((row["id"], len(row["counts"])) for row in json.loads(text))
    return time.process_time() - begun


@pytest.fixture(scope="session", autouse=True)
def private_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A database of the tests' own, and none of the settings of the user who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("QORCH_")]:
            patch.delenv(name)
        # Every process would compile qorch's sources once more.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        folder = tmp_path_factory.mktemp("qorch")
        patch.setenv("QORCH_DB", str(folder / "tests.db"))
        (folder / "config.toml").touch()
        patch.setenv("QORCH_CONFIG", str(folder / "config.toml"))
        yield
