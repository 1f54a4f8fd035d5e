"""A backend that packs jobs as another one does, notes what they would cost, and answers with made-up values."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, JobResult, JobShape, Payload, RawResult, Usage
from qorch.model.made_up import make_up
from qorch.model.measurement import Measurement
from qorch.model.prices.card import PriceCard
from qorch.model.pub import Pub
from qorch.planning.quoting import Quote, no_quote, quote_apart, quote_requests
from qorch.ports.backend import Capabilities, OfflinePlanner


@dataclass(eq=False)
class RehearsedBackend:
    """Implements InProcessBackend, ExactGradients and Metered. Nothing leaves the process.

    ``quotes``: of every job that was executed, by its id. ``unpacked``: of all of them, with one execution per job.
    ``jobs_of_first_step``: the ids of the jobs that were executed until the first step ended.
    """

    planner: OfflinePlanner
    capabilities: Capabilities
    card: PriceCard
    quotes: dict[str, Quote] = field(default_factory=dict)
    unpacked: Quote = field(init=False)
    jobs_of_first_step: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Nothing was executed."""
        self.unpacked = no_quote(self.card)

    def end_step(self) -> None:
        """Note that a step has ended; only the first counts."""
        self.jobs_of_first_step = self.jobs_of_first_step or frozenset(self.quotes)

    def go_on_with(self, earlier: "RehearsedBackend") -> None:
        """Add what an earlier session of the same run has executed."""
        self.quotes |= earlier.quotes
        self.unpacked += earlier.unpacked
        self.jobs_of_first_step = earlier.jobs_of_first_step

    @property
    def name(self) -> str:
        """The name of the backend that is rehearsed."""
        return self.planner.name

    async def open(self) -> None:
        """See Backend."""

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """See Backend."""

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        self.planner.check(gates, measurement)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        return self.planner.rows_per_job(gates, measurement, shots=shots)

    def context(self, gates: GateList) -> bytes:
        """See Backend."""
        return hashlib.sha256(b"rehearsal" + gates.digest).digest()

    def measure(self, request: JobRequest) -> Usage | None:
        """See Metered: what ``run.quote`` says in the program is true."""
        return self.planner.measure(request)

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend."""
        return Payload(request, key)

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend; notes what the job costs."""
        request = payload.request
        self.quotes[request.job_id] = quote_requests([request], self.card, measure=self.measure)
        self.unpacked += quote_apart(request, self.card, measure=self.measure)
        return RawResult(b"")

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """Made-up results, which are the same for jobs of the same shape."""
        del raw
        random = np.random.default_rng(0)
        return JobResult(tuple(make_up(block, random) for block in shape.blocks))

    def vjp(self, pub: Pub, cotangents: FloatArray, *, check: Callable[[], None]) -> FloatArray:
        """See ExactGradients; made up."""
        check()
        # Of the size of the cotangents, so that a loop which looks at its gradients sees none that explode.
        made_up = np.random.default_rng(0).uniform(-0.1, 0.1, pub.parameter_values.shape)
        return np.asarray(made_up * np.abs(cotangents).max(), dtype=np.float64)

    async def close(self) -> None:
        """See Backend."""
