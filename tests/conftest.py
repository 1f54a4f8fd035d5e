"""What all tests share: no test ever touches the user's own database or settings."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples every time: a change is judged by them, and not by the luck of a run. `make soak` looks for others.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def private_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A database of the tests' own, and none of the settings of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("QORCH_")]:
            patch.delenv(name)
        patch.setenv("QORCH_DB", str(tmp_path_factory.mktemp("qorch") / "tests.db"))
        yield
