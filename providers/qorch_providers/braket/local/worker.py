"""The program of the workers of `braket:local`: `python -m qorch_providers.braket.local.worker PARENT_PID SIMULATOR`.

The SDK takes seconds to import and holds the interpreter's lock while it computes, so it runs in processes of its own.
"""

from collections.abc import Sequence

from qorch_providers.workers.serving import BlockExecutor, run_worker


def make_executor(arguments: Sequence[str]) -> BlockExecutor:
    """The SDK's simulator of that name."""
    from qorch_providers.braket.local.executor import LocalExecutor

    (simulator,) = arguments
    return LocalExecutor(simulator)


if __name__ == "__main__":
    run_worker(make_executor)
