"""A command as it ends where some packages are not installed."""

_SCRIPT = """
import sys

sys.modules.update(dict.fromkeys(PACKAGES))
from qorch.cli.main import main

sys.argv = ["qorch", *ARGUMENTS]
main()
"""


def without(packages: tuple[str, ...], *arguments: str) -> str:
    """A script that runs ``qorch`` with these arguments; the packages seem to be missing in its process."""
    return _SCRIPT.replace("PACKAGES", repr(packages)).replace("ARGUMENTS", repr(list(arguments)))
