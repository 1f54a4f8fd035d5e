"""The one retry layer: what is repeated, how often, after how long, and out of which budget."""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from simulation.harness import Sandbox

from qorch.engine.remote.retrying import Retrier
from qorch.engine.run_parts import ignore
from qorch.errors import (
    BusyError,
    CredentialsError,
    JobFailedError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
    UnreachableError,
)
from qorch.ports.policy import RetryPolicy


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def retrier_of(sandbox: Sandbox, policy: RetryPolicy | None = None, *, note: Callable[[str], None] = ignore) -> Retrier:
    """A retrier whose jitter is always the same."""
    return Retrier(policy or RetryPolicy(), clock=sandbox.clock, random=np.random.default_rng(5), note=note)


class Server:
    """Answers after so many errors, or never; ``asked`` at these times."""

    def __init__(self, sandbox: Sandbox, errors: "list[Exception] | Callable[[], Exception]") -> None:
        self._sandbox = sandbox
        self._errors = errors
        self.asked: list[float] = []

    async def answer(self) -> str:
        """The answer."""
        self.asked.append(self._sandbox.loop.time())
        if callable(self._errors):
            raise self._errors()
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


def test_a_named_time_is_waited_for_exactly(sandbox: Sandbox) -> None:
    """Retry-After counts as it is: no jitter, not sooner, not later, and no token is taken for it."""
    server = Server(sandbox, [BusyError("", retry_after_seconds=seconds) for seconds in (7.0, 0.5, 1800.0)])
    policy = RetryPolicy(tokens=0.0)
    assert sandbox.run(retrier_of(sandbox, policy).repeat(server.answer)) == "answer"
    assert server.asked == pytest.approx([0.0, 7.0, 7.5, 1807.5])


def test_waits_grow_with_full_jitter(sandbox: Sandbox) -> None:
    """Each wait is drawn from nothing to twice the last bound, at most a minute."""
    server = Server(sandbox, [BusyError("")] * 60)
    policy = RetryPolicy(first_patience_seconds=1e9)
    sandbox.run(retrier_of(sandbox, policy).repeat(server.answer))
    waits = np.diff(server.asked)
    bounds = np.minimum(60.0, 0.25 * 2.0 ** np.arange(1, 61))
    assert (waits <= bounds + 1e-9).all()
    assert 0.35 < (waits / bounds).mean() < 0.65


def test_trouble_never_multiplies_the_traffic(sandbox: Sandbox) -> None:
    """Once the tokens are used up there is one retry a minute, until successes have earned more."""
    retrier = retrier_of(sandbox, RetryPolicy(tokens=5.0, tokens_per_call=0.5))

    async def work() -> None:
        await retrier.repeat(Server(sandbox, []).answer)
        first = Server(sandbox, [BusyError("")] * 12)
        await retrier.repeat(first.answer)
        assert np.diff(first.asked)[5:] == pytest.approx(60.0)
        for _ in range(4):
            await retrier.repeat(Server(sandbox, []).answer)
        later = Server(sandbox, [BusyError("")] * 4)
        await retrier.repeat(later.answer)
        assert (np.diff(later.asked)[:2] < 1.01).all()
        assert np.diff(later.asked)[2:] == pytest.approx(60.0)

    sandbox.run(work())


def test_patience_with_a_server_that_never_answered_is_short(sandbox: Sandbox) -> None:
    """A minute, most likely a wrong address; the last error is raised as it is."""
    server = Server(sandbox, lambda: BusyError("cannot be reached"))

    async def work() -> None:
        with pytest.raises(BusyError, match="cannot be reached"):
            await retrier_of(sandbox).repeat(server.answer)

    sandbox.run(work())
    assert 60.0 < sandbox.loop.time() < 125.0


def test_patience_with_one_that_did_is_a_day(sandbox: Sandbox) -> None:
    """A server that answered before will come back."""
    retrier = retrier_of(sandbox)

    async def work() -> None:
        await retrier.repeat(Server(sandbox, []).answer)
        with pytest.raises(BusyError):
            await retrier.repeat(Server(sandbox, lambda: BusyError("down")).answer)

    sandbox.run(work())
    assert 86_400.0 < sandbox.loop.time() < 86_400.0 + 121.0


def test_patience_where_nothing_was_reached_is_seconds(sandbox: Sandbox) -> None:
    """A person waits for the error: the last wait ends with the patience, whatever the jitter; preparing shows nothing.

    Once a server was reached, be it with an error, no connection is an outage.
    """
    policy = RetryPolicy()

    async def work() -> list[float]:
        lasted = []
        for seed in range(50):
            begun = sandbox.loop.time()
            retrier = Retrier(policy, clock=sandbox.clock, random=np.random.default_rng(seed))
            await retrier.prepare(Server(sandbox, []).answer)
            with pytest.raises(UnreachableError):
                await retrier.repeat(Server(sandbox, lambda: UnreachableError("no connection")).answer)
            lasted.append(sandbox.loop.time() - begun)
        return lasted

    lasted = sandbox.run(work())
    assert min(lasted) > policy.unreached_patience_seconds
    assert max(lasted) < policy.unreached_patience_seconds + 0.01
    for answer, least in ((BusyError("500"), 60.0), (None, 86_400.0)):
        retrier = retrier_of(sandbox)
        errors = iter([] if answer is None else [answer])
        server = Server(sandbox, lambda errors=errors: next(errors, UnreachableError("no connection")))  # type: ignore[misc]

        async def meet(retrier: Retrier = retrier, server: Server = server, is_sound: bool = answer is None) -> float:
            if is_sound:
                await retrier.repeat(Server(sandbox, []).answer)
            begun = sandbox.loop.time()
            with pytest.raises(UnreachableError):
                await retrier.repeat(server.answer)
            return sandbox.loop.time() - begun

        assert sandbox.run(meet()) > least


@pytest.mark.parametrize("error", [UnavailableError("calibration"), BusyError("", retry_after_seconds=5.0)])
def test_to_name_a_time_is_an_answer(sandbox: Sandbox, error: BusyError) -> None:
    """A backend that is closed when a run starts, or says when to come again, is there: it is waited for."""
    errors: list[Exception] = [error, *[BusyError("down")] * 40]
    server = Server(sandbox, errors)
    assert sandbox.run(retrier_of(sandbox).repeat(server.answer)) == "answer"
    assert sandbox.loop.time() > 180.0


@pytest.mark.parametrize(
    "error",
    [
        CredentialsError(""),
        RejectedError(""),
        UnknownOutcomeError(""),
        JobFailedError("", is_repeatable=True),
        KeyError(),
    ],
)
def test_nothing_else_is_tried_again(sandbox: Sandbox, error: Exception) -> None:
    """Only what was provably without effect."""
    server = Server(sandbox, [error])

    async def work() -> None:
        with pytest.raises(type(error)):
            await retrier_of(sandbox).repeat(server.answer)

    sandbox.run(work())
    assert len(server.asked) == 1


def test_a_call_that_waits_itself_is_resumed_at_once(sandbox: Sandbox) -> None:
    """Submissions wait at the pacer's door, not here."""
    server = Server(sandbox, [BusyError("", retry_after_seconds=50.0)] * 3)
    sandbox.run(retrier_of(sandbox).resume(server.answer))
    assert server.asked == [0.0] * 4


def test_trouble_is_told_once_in_a_while(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """One line in thirty seconds, however many retries, with what the user can do; observers are told as often."""
    server, notes = Server(sandbox, [BusyError("busy now", retry_after_seconds=1.0)] * 100), list[str]()
    with caplog.at_level(logging.WARNING, logger="qorch.retries"):
        sandbox.run(retrier_of(sandbox, note=notes.append).repeat(server.answer))
    assert notes == ["busy now; trying again"] * 4
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    assert all("busy now" in line and "Ctrl-C" in line for line in lines)
