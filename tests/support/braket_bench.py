"""What the tests of the Braket emulator share: a running one with boto3's clients, which try every call once."""

import json
import math
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

from qorch_providers.emulators.braket import BraketSettings, RunningBraket, start

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
ANKAA = "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3"
SKEWED = """OPENQASM 3.0;
input float theta;
bit[3] b;
qubit[3] q;
ry(theta) q[0];
cnot q[0], q[2];
rx(0.5) q[1];
b[0] = measure q[0];
b[1] = measure q[1];
b[2] = measure q[2];
"""
"""Three qubits, of which 0 and 2 agree; every outcome tells the bit order."""
BUCKET = "amazon-braket-tests"


def skewed_weights(theta: float) -> dict[str, float]:
    """The exact probabilities of `SKEWED`; keys have qubit 0 first."""
    first, middle = math.cos(theta / 2) ** 2, math.cos(0.25) ** 2
    return {
        "000": first * middle,
        "010": first * (1 - middle),
        "101": (1 - first) * middle,
        "111": (1 - first) * (1 - middle),
    }


def program(source: str = SKEWED, **inputs: Any) -> dict[str, Any]:
    """The action of one program."""
    header = {"name": "braket.ir.openqasm.program", "version": "1"}
    return {"braketSchemaHeader": header, "source": source, "inputs": inputs}


def program_set(*programs: dict[str, Any]) -> dict[str, Any]:
    """The action of a program set."""
    header = {"name": "braket.ir.openqasm.program_set", "version": "1"}
    return {"braketSchemaHeader": header, "programs": list(programs)}


class BraketBench:
    """A running emulator, with clients of a region."""

    def __init__(self, emulator: RunningBraket, region: str = "us-east-1") -> None:
        self.emulator = emulator
        self.region = region
        self._session = boto3.Session("emulator", "emulator", region_name=region)

    def client(self, service: str, **fields: Any) -> Any:
        """A client that tries every call once."""
        config = Config(retries={"total_max_attempts": 1}, **fields)
        return self._session.client(service, endpoint_url=self.emulator.url, config=config)

    @cached_property
    def braket(self) -> Any:
        """The control plane."""
        return self.client("braket", read_timeout=20)

    @cached_property
    def s3(self) -> Any:
        """The objects."""
        return self.client("s3", read_timeout=20)

    def create(self, action: dict[str, Any] | None = None, **fields: Any) -> str:
        """Create a task and return its ARN; fields replace those of the call."""
        call = {
            "clientToken": str(uuid.uuid4()),
            "deviceArn": SV1,
            "shots": 100,
            "outputS3Bucket": BUCKET,
            "outputS3KeyPrefix": "some/where",
            "action": json.dumps(action or program(theta=0.8)),
        }
        return str(self.braket.create_quantum_task(**call | fields)["quantumTaskArn"])

    def get(self, arn: str) -> dict[str, Any]:
        """The task with its queue."""
        found: dict[str, Any] = self.braket.get_quantum_task(quantumTaskArn=arn, additionalAttributeNames=["QueueInfo"])
        return found

    def wait(self, arn: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The task once it is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            task = self.get(arn)
            if task["status"] in ("COMPLETED", "FAILED", "CANCELLED"):
                return task
            time.sleep(0.01)
        raise AssertionError(f"{arn} is still {task['status']}")

    def read(self, task: dict[str, Any], name: str = "results.json") -> Any:
        """One of the objects that a task left."""
        key = f"{task['outputS3Directory']}/{name}"
        return json.loads(self.s3.get_object(Bucket=task["outputS3Bucket"], Key=key)["Body"].read())

    def run(self, action: dict[str, Any] | None = None, **fields: Any) -> Any:
        """Create, wait, and return the results."""
        task = self.wait(self.create(action, **fields))
        assert task["status"] == "COMPLETED", task
        return self.read(task)


@contextmanager
def opened(region: str = "us-east-1", timer: Any = None, **settings: Any) -> Iterator[BraketBench]:
    """An emulator with these settings, and clients of it."""
    with start(BraketSettings(**settings), timer=timer) as emulator:
        yield BraketBench(emulator, region)


def refusal(error: Any) -> tuple[int, str, str]:
    """Status, code and message of a ClientError."""
    answer = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]
