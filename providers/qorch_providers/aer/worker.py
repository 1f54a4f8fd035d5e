"""The program of Aer's workers: `python -m qorch_providers.aer.worker PARENT_PID [NOISE DIGEST]`.

Aer runs in processes of its own because it holds the interpreter's lock for a whole run.
"""

from collections.abc import Sequence

from qorch_providers.workers.serving import BlockExecutor, run_worker


def make_executor(arguments: Sequence[str]) -> BlockExecutor:
    """Aer, with the noise that the arguments name."""
    from qorch_providers.aer.executor import Executor
    from qorch_providers.aer_engine.noise import Noise

    if not arguments:
        return Executor(None)
    noise, digest = arguments
    return Executor(Noise(noise, digest=bytes.fromhex(digest)))


if __name__ == "__main__":
    run_worker(make_executor)
