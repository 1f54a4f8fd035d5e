"""What all tests share: no test ever touches the user's own database or settings."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def private_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A database of the tests' own, and none of the settings of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("QORCH_")]:
            patch.delenv(name)
        patch.setenv("QORCH_DB", str(tmp_path_factory.mktemp("qorch") / "tests.db"))
        yield
