"""Checks of submissions: acceptance, each class of refusal, answers that are lost, and what is sent again."""

from dataclasses import replace

import numpy as np
import pytest

from qorch.errors import (
    BusyError,
    CredentialsError,
    QorchError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
    UsageError,
)
from qorch.model.job import JobRequest, Payload, RemoteState
from qorch.model.measurement import RowBlock
from qorch.ports.backend import RemoteBackend
from qorch.ports.policy import OnUnknown, Terms
from qorch.testing.conformance.backend import too_large
from qorch.testing.conformance.remote.base import RemoteChecks, long_ago
from qorch.testing.conformance.remote.harness import Behaviour

REFUSALS = (Behaviour.BUSY, Behaviour.LIMITED, Behaviour.BAD_REQUEST, Behaviour.BAD_KEY)
LOSSES = (Behaviour.LOST_BEFORE, Behaviour.LOST_AFTER, Behaviour.ERROR_AFTER, Behaviour.GARBLED)


class SubmissionChecks(RemoteChecks):
    """What ``submit`` and ``encode`` must do."""

    shows_labels = True
    """Whether the provider shows key and label of a job in its status."""

    def test_an_accepted_job_comes_back_under_its_key(self) -> None:
        """It is accepted once, polled to its end and found; status and lists say whose job it is."""

        async def work(backend: RemoteBackend) -> None:
            sent = await self.send(backend)
            assert self.harness.accepted(sent.key) == 1
            status = await self.wait(backend, sent.provider_id)
            assert status.state is RemoteState.DONE
            assert status.key in (None, sent.key)
            label, own = status.label, sent.payload.request.label
            if self.shows_labels:
                assert status.key == sent.key
                assert label is not None
                # What the provider has counted itself is not in the label that was sent.
                assert replace(label, n_rows=None, shots=None) == own
            assert await backend.find([sent.key], since=long_ago()) == {sent.key: sent.provider_id}
            assert backend.calls["submit"] == 1

        self.ask(work)

    def test_a_person_finds_the_job_by_the_text_in_the_payload(self) -> None:
        """What the payload says to search for stands in what the provider shows of the job."""

        async def work(backend: RemoteBackend) -> None:
            sent = await self.send(backend)
            assert sent.payload.search_text
            assert sent.payload.search_text in self.harness.shown(sent.provider_id)

        self.ask(work)

    @pytest.mark.parametrize("refusal", REFUSALS)
    def test_each_refusal_is_an_error_that_says_what_to_do(self, refusal: Behaviour) -> None:
        """Nothing was accepted, the error is of the class for it, and the same job can be sent later."""

        async def work(backend: RemoteBackend) -> None:
            payload = await self.payload_of(backend)
            with self.server(refusal):
                error = await self._failure(backend, payload)
            assert isinstance(error, RejectedError), f"a refusal is a RejectedError, not {error!r}"
            assert self.harness.accepted(payload.key) == 0
            is_busy = refusal in (Behaviour.BUSY, Behaviour.LIMITED)
            assert isinstance(error, BusyError) is is_busy, f"{refusal} became {error!r}"
            assert isinstance(error, CredentialsError) is (refusal is Behaviour.BAD_KEY), f"{refusal} became {error!r}"
            if refusal is Behaviour.LIMITED:
                assert isinstance(error, BusyError)
                assert error.retry_after_seconds is not None
                assert 0.0 < error.retry_after_seconds <= 3_600.0
            assert await backend.submit(payload)
            assert self.harness.accepted(payload.key) == 1

        self.ask(work)

    def test_a_provider_that_takes_no_jobs_says_so(self) -> None:
        """The submission is refused, or not known to be, and ``availability`` tells that it is closed, then open."""

        async def work(backend: RemoteBackend) -> None:
            payload = await self.payload_of(backend)
            with self.server(Behaviour.UNAVAILABLE):
                error = await self._failure(backend, payload)
                assert isinstance(error, UnavailableError | UnknownOutcomeError), repr(error)
                assert not (await backend.availability()).is_open
            assert self.harness.accepted(payload.key) == 0
            assert (await backend.availability()).is_open

        self.ask(work)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_a_lost_answer_is_unknown_until_the_job_is_found(self, loss: Behaviour) -> None:
        """It may have been accepted, so it is no refusal; it was sent once, and ``find`` tells what became of it."""

        async def work(backend: RemoteBackend) -> None:
            payload = await self.payload_of(backend)
            before = len(self.harness.submissions())
            with self.server(loss):
                error = await self._failure(backend, payload)
            assert isinstance(error, UnknownOutcomeError), f"a lost answer is an UnknownOutcomeError, not {error!r}"
            accepted = 0 if loss is Behaviour.LOST_BEFORE else 1
            assert self.harness.accepted(payload.key) == accepted
            assert len(self.harness.submissions()) == before + 1, "an adapter sends a job once"
            found = await backend.find([payload.key], since=long_ago())
            assert list(found) == [payload.key] * accepted
            for provider_id in found.values():
                assert (await self.wait(backend, provider_id)).state is RemoteState.DONE

        self.ask(work)

    def test_a_job_that_no_list_shows_yet_is_not_believed_to_be_absent(self) -> None:
        """The search finds nothing and says nothing more; the job is not sent again, and is found once it is listed."""

        async def work(backend: RemoteBackend) -> None:
            payload = await self.payload_of(backend)
            before = len(self.harness.submissions())
            with self.server(Behaviour.LOST_AFTER, Behaviour.UNLISTED):
                error = await self._failure(backend, payload)
                assert isinstance(error, UnknownOutcomeError), f"the outcome is unknown, but the error was {error!r}"
                assert await backend.find([payload.key], since=long_ago()) == {}
                assert payload.key not in (await backend.list_keys(since=long_ago(), known=()) or {})
            assert self.harness.accepted(payload.key) == 1
            assert len(self.harness.submissions()) == before + 1, "the job was sent again"
            assert list(await backend.find([payload.key], since=long_ago())) == [payload.key]

        self.ask(work)

    def test_a_job_is_sent_again_with_the_same_bytes(self) -> None:
        """Whatever arrives under one key is the payload's content, byte for byte, also after a restart."""

        async def first(backend: RemoteBackend) -> None:
            await self._failure(backend, payload := await self.payload_of(backend, request))
            again = backend.encode(request, key=payload.key)
            assert again.content == payload.content, "the same request and key were encoded to other bytes"
            payloads.append(payload)

        async def second(backend: RemoteBackend) -> None:
            again = backend.encode(request, key=payloads[0].key)
            assert again.digest == payloads[0].digest, "another process encodes the same job to other bytes"
            await backend.submit(again)

        request = self.request_of()
        payloads: list[Payload] = []
        before = len(self.harness.submissions())
        with self.server(Behaviour.LOST_BEFORE):
            self.ask(first)
        self.ask(second)
        assert self.harness.submissions()[before:] == [payloads[0].digest] * 2
        assert self.harness.accepted(payloads[0].key) == 1

    def test_a_key_that_is_remembered_makes_no_second_job(self) -> None:
        """If the terms say that the provider knows its keys, the same submission is the same job."""

        async def work(backend: RemoteBackend) -> None:
            if not backend.terms.remembers_keys_seconds:
                pytest.skip("the provider makes two jobs of one key")
            sent = await self.send(backend)
            assert await backend.submit(sent.payload) == sent.provider_id
            assert self.harness.accepted(sent.key) == 1

        self.ask(work)

    def test_the_largest_job_is_accepted(self) -> None:
        """A job of as many rows as the backend itself asks for is within all limits."""

        async def work(backend: RemoteBackend) -> None:
            [block] = self.request_of().blocks
            n_rows = backend.rows_per_job(block.gates, block.measurement, shots=1)
            assert n_rows <= backend.capabilities.max_rows_per_job
            sent = await self.send(backend, self._rows_of(block, n_rows, shots=1))
            assert self.harness.accepted(sent.key) == 1

        self.ask(work)

    def test_jobs_that_cannot_be_are_refused_before_they_are_sent(self) -> None:
        """``encode`` raises a UsageError for too many qubits, and nothing reaches the server."""

        async def work(backend: RemoteBackend) -> None:
            before = len(self.harness.submissions())
            gates = too_large(backend)
            request = JobRequest(self._new_job_id(), (self.block(gates, np.zeros((1, 0)), shots=10),))
            with pytest.raises(UsageError):
                backend.encode(request, key="0" * 64)
            assert len(self.harness.submissions()) == before

        self.ask(work)

    def test_terms_are_sane_and_constant(self) -> None:
        """Two backends of one account share its name; waits and limits are positive; what is paid for is not resent."""
        first, second = (self.ask(_terms_of) for _ in range(2))
        assert first == second
        assert first.account
        assert first.account.isprintable()
        assert first.settle_seconds >= 0.0
        assert first.remembers_keys_seconds >= 0.0
        assert first.most_jobs >= 1
        for rate in (first.rate, first.poll_rate, first.find_rate):
            assert rate is None or (rate.calls >= 1 and rate.seconds > 0.0)
        if self.make_backend().capabilities.charges and not first.remembers_keys_seconds:
            assert first.on_unknown is OnUnknown.HOLD

    async def _failure(self, backend: RemoteBackend, payload: Payload) -> QorchError:
        """What a submission raises."""
        try:
            provider_id = await backend.submit(payload)
        except QorchError as error:
            return error
        pytest.fail(f"the submission was taken for accepted, as {provider_id}")

    def _rows_of(self, block: RowBlock, n_rows: int, *, shots: int) -> JobRequest:
        angles = np.resize(block.angles, (n_rows, block.gates.n_columns))
        return JobRequest(self._new_job_id(), (self.block(block.gates, angles, shots=shots),))


async def _terms_of(backend: RemoteBackend) -> Terms:
    return backend.terms
