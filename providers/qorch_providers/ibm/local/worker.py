"""The program of the workers: `python -m qorch_providers.ibm.local.worker PARENT_PID OPTIONS DIGEST`.

Aer and Qiskit's transpiler hold the interpreter's lock while they compute, so they run in processes of their own.
"""

from collections.abc import Sequence

from qorch_providers.workers.serving import BlockExecutor, run_worker


def make_executor(arguments: Sequence[str]) -> BlockExecutor:
    """Aer with the noise of the fake device that the options name."""
    from qorch_providers.aer_engine.noise import Noise
    from qorch_providers.ibm.local.backend import read_fake_device
    from qorch_providers.ibm.local.executor import FakeDeviceExecutor
    from qorch_providers.ibm.options import parse_options

    text, digest = arguments
    options = parse_options(text)
    return FakeDeviceExecutor(read_fake_device(options), options, Noise(options.target, digest=bytes.fromhex(digest)))


if __name__ == "__main__":
    run_worker(make_executor)
