"""The payloads of jobs that are not accepted yet: kept up to a bound, and encoded again beyond it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from qorch.engine.recorder import Recorder
from qorch.engine.submission import Submission
from qorch.engine.worker import Compute, Worker
from qorch.errors import BusyError, RejectedError
from qorch.model.identity import idempotency_key
from qorch.model.job import Payload, Usage
from qorch.model.timing import Phase
from qorch.ports.backend import RemoteBackend

MOST_BYTES = 64 * 2**20
"""Contents that one engine keeps, beside those of the submissions that are under way."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """What is known of a payload without its content."""

    submission: Submission
    key: str
    digest: str
    search_text: str
    usage: Usage | None

    @property
    def job_id(self) -> str:
        """The job's name."""
        return self.submission.job_id


class Payloads:
    """Encodes the jobs of an engine. A call may have many, of 10 MB each, that wait for their turn to be sent.

    What is not kept is encoded again when the job is sent: ``encode`` is pure, and the digest proves it.
    """

    def __init__(self, backend: RemoteBackend, recorder: Recorder, *, store_id: str, worker: Worker) -> None:
        """``store_id``: a part of each key; ``worker``: encodes what was not kept."""
        self._backend = backend
        self._recorder = recorder
        self._store_id = store_id
        self._worker = worker
        self._bytes = 0
        self._encoded: dict[str, Encoded] = {}
        self._kept: dict[str, Payload] = {}

    async def prepare(self, submission: Submission, compute: Compute) -> None:
        """Encode a job, unless that was done. Raises UsageError if the provider would refuse it."""
        if submission.job_id in self._encoded:
            return
        payload = await self._encode(submission, compute)
        self._encoded[submission.job_id] = Encoded(
            submission, payload.key, payload.digest, payload.search_text, payload.usage
        )
        self._keep(submission.job_id, payload)

    def find(self, job_id: str) -> Encoded:
        """A job that was prepared, and is not forgotten."""
        return self._encoded[job_id]

    def forget(self, job_id: str) -> None:
        """Drop all that is known of a job."""
        self._encoded.pop(job_id, None)
        self._drop(job_id)

    @asynccontextmanager
    async def lend(self, encoded: Encoded) -> AsyncIterator[Payload]:
        """The payload, for one submission. It is kept for the next one if that ends with BusyError, and else dropped.

        Raises RejectedError if its bytes are not those of the first time.
        """
        payload = self._drop(encoded.job_id) or await self._encode_again(encoded)
        try:
            yield payload
        except BusyError:
            self._keep(encoded.job_id, payload)
            raise

    async def _encode_again(self, encoded: Encoded) -> Payload:
        payload = await self._encode(encoded.submission, self._worker.compute)
        if payload.digest != encoded.digest:
            raise RejectedError(
                f"job {encoded.job_id} is not sent: under its key, its payload was first {encoded.digest}, and is"
                f" {payload.digest} now. The adapter of {self._backend.name} must encode a job the same way every time;"
                " please report this"
            )
        return payload

    async def _encode(self, submission: Submission, compute: Compute) -> Payload:
        with self._recorder.span(Phase.ENCODE, submission.position, job_id=submission.job_id):
            return await compute(self._compute, submission)

    def _compute(self, submission: Submission) -> Payload:
        key = idempotency_key(self._store_id, submission.job_id, epoch=0)
        payload = self._backend.encode(submission.labelled_request, key=key)
        payload.digest  # noqa: B018 - computed here, as the content may be large
        return payload

    def _keep(self, job_id: str, payload: Payload) -> None:
        self._drop(job_id)
        if self._bytes + len(payload.content) <= MOST_BYTES:
            self._kept[job_id] = payload
            self._bytes += len(payload.content)

    def _drop(self, job_id: str) -> Payload | None:
        payload = self._kept.pop(job_id, None)
        self._bytes -= 0 if payload is None else len(payload.content)
        return payload
