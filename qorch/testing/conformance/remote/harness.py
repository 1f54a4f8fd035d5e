"""What a vendor's tests supply to the suite: a loopback server of the protocol, and switches for what it does."""

from collections.abc import Collection
from enum import StrEnum
from typing import Protocol

from qorch.ports.backend import RemoteBackend


class Behaviour(StrEnum):
    """What a server does instead of what it should, to every call that it concerns, until it is told otherwise.

    Refused submissions, of which nothing is accepted: BUSY says not now, LIMITED names a time too (Retry-After),
    UNAVAILABLE says that no jobs are taken for a while, BAD_REQUEST that the job is wrong. BAD_KEY refuses the
    credentials of every call.

    Submissions without a clear answer: LOST_BEFORE accepts nothing, LOST_AFTER has accepted the job, and both break the
    connection; ERROR_AFTER accepts the job and answers with an error of the server (HTTP 500); SILENT accepts it and
    answers nothing at all while the connection stays open.

    Questions: LOST_QUESTIONS breaks the connection instead of answering; UNLISTED leaves the jobs that are accepted
    meanwhile out of all lists, until the server behaves otherwise. GARBLED answers everything, submissions that it
    accepts too, as if all were well, with something that cannot be read, such as a gateway's page.

    Jobs that are submitted meanwhile: HELD ones stay unfinished until they are cancelled. FAILURE and FAILURE_FINAL
    fail as a whole, PARTIAL and PARTIAL_FINAL in some of several rows, for a reason that may not, or will, return.

    Openings of sessions, of providers that have any: OPENING_BUSY opens none and says not now; OPENING_LOST_BEFORE
    opens none, OPENING_LOST_AFTER has opened the session, and both break the connection.

    Answers with results: CUT_ANSWER ends too early, WRONG_ANSWER has rows or numbers that cannot be.
    """

    BUSY = "busy"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"
    BAD_REQUEST = "bad request"
    BAD_KEY = "bad key"
    LOST_BEFORE = "answer lost before acceptance"
    LOST_AFTER = "answer lost after acceptance"
    ERROR_AFTER = "server error after acceptance"
    SILENT = "accepts and stays silent"
    LOST_QUESTIONS = "questions lost"
    GARBLED = "unreadable answers"
    UNLISTED = "unlisted"
    HELD = "held"
    FAILURE = "failure"
    FAILURE_FINAL = "failure for good"
    PARTIAL = "partial failure"
    PARTIAL_FINAL = "partial failure for good"
    OPENING_BUSY = "opening of a session refused for now"
    OPENING_LOST_BEFORE = "answer lost before a session was opened"
    OPENING_LOST_AFTER = "answer lost after a session was opened"
    CUT_ANSWER = "answer cut short"
    WRONG_ANSWER = "wrong answer"


class ProviderHarness(Protocol):
    """A running loopback server, as the suite sees it. One server may serve many tests: no two use the same keys.

    ``lacks``: the behaviours that the protocol or the server does not have; tests of them are skipped.
    """

    lacks: Collection[Behaviour]

    def make_backend(self) -> RemoteBackend:
        """A new backend for the server, not open yet, with the same settings every time."""
        ...

    def behave(self, *behaviours: Behaviour) -> None:
        """From now on show these behaviours and no others; without any, be sound."""
        ...

    def accepted(self, key: str) -> int:
        """How many jobs the server has accepted under this idempotency key."""
        ...

    def submissions(self) -> list[str]:
        """SHA-256 (64 hexadecimal digits) of every submission that has arrived in full, accepted or not, in order."""
        ...

    def shown(self, provider_id: str) -> str:
        """What a person sees of this job at the provider, as text."""
        ...

    def forget(self, provider_id: str) -> None:
        """Delete a job that is over: the server does not know it any more."""
        ...
