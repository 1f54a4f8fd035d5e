"""Run the program of a job on a device."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.ibm.programs.estimator import run_estimator
from qorch_providers.emulators.ibm.programs.executor import run_executor
from qorch_providers.emulators.ibm.programs.noise import DeviceNoise
from qorch_providers.emulators.ibm.programs.outcome import JobOutcome
from qorch_providers.emulators.ibm.programs.sampler import run_sampler

Program = Callable[[bytes, IbmMachine, DeviceNoise | None, np.random.Generator], JobOutcome]


def _with_params(run: Callable[[Any, IbmMachine, DeviceNoise | None, np.random.Generator], JobOutcome]) -> Program:
    def run_body(body: bytes, device: IbmMachine, noise: DeviceNoise | None, rng: np.random.Generator) -> JobOutcome:
        params = msgspec.json.decode(body)
        if not isinstance(params, dict):
            raise UsageError("the inputs of a program are an object")
        return run(params, device, noise, rng)

    return run_body


PROGRAMS = MappingProxyType(
    {"sampler": _with_params(run_sampler), "estimator": _with_params(run_estimator), "executor": run_executor}
)
"""Each takes the inputs of a job, and raises UsageError or CircuitError for those that cannot run."""
