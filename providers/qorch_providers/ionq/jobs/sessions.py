"""Opens, finds and closes sessions at IonQ, and says why one takes no more jobs.

IonQ keeps no key with a session. What it does keep and show is the limit on its cost. So each opening asks for up to a
cent less than the option allows, by millionths of a dollar that follow from its key. A session whose answer was lost is
ours if all of this is so: it is on the device of the plan and has these millionths, it was made when the plan was sent,
the database has no other record of it, and it has no job, since nobody knows its id. Without such a limit, or if IonQ
has rounded it to cents, that proof is missing: it may be ours, and is not ended.
"""

import datetime
from collections.abc import Collection, Sequence

from qorch.errors import RejectedError, SpendingLimitError, UnknownOutcomeError
from qorch.model.text import format_count
from qorch.ports.provider_sessions import SessionPlan
from qorch_providers.http import is_safe_id
from qorch_providers.ionq.options import MINUTE_SECONDS, JobMode, Options
from qorch_providers.ionq.wire.client import IonqClient
from qorch_providers.ionq.wire.session_documents import IonqSession, SessionLimits, encode_opening

BEFORE, AFTER = datetime.timedelta(minutes=5), datetime.timedelta(minutes=15)
"""How far from the time of its plan a session may have been made: doubt about clocks, and about slow answers."""
_CENT = 10_000
"""A cent in millionths of a dollar."""


def session_mode(options: Options) -> str:
    """What stands for sessions in plans; empty if every job runs by itself."""
    return JobMode.SESSION.value if options.mode is JobMode.SESSION else ""


def limits_of(options: Options, *, key: str) -> SessionLimits:
    """The limits that a session with this key asks for: those of the options, and its mark in the cost."""
    ttl = options.max_ttl_seconds
    return SessionLimits(
        cost_usd_micros=None if options.max_cost is None else options.max_cost.micros - _CENT + _mark_of(key),
        jobs=options.max_jobs,
        minutes=None if ttl is None else ttl // MINUTE_SECONDS,
    )


def describe_limits(limits: SessionLimits) -> str:
    """Such as ``25.00 USD, 100 jobs, 60 minutes``; a session's mark is rounded away."""
    cents = None if limits.cost_usd_micros is None else -(-limits.cost_usd_micros // _CENT)
    told = [
        "" if cents is None else f"{cents / 100:.2f} USD",
        "" if limits.jobs is None else format_count(limits.jobs, "job"),
        "" if limits.minutes is None else format_count(limits.minutes, "minute"),
    ]
    return ", ".join(filter(None, told)) or "none"


class IonqSessions:
    """The sessions of one client."""

    def __init__(self, client: IonqClient, options: Options) -> None:
        """Nothing is asked yet."""
        self._client = client
        self._options = options

    async def open(self, plan: SessionPlan) -> str:
        """See ProviderSessions."""
        limits = limits_of(self._options, key=plan.key)
        return await self._client.open_session(encode_opening(device=plan.device, limits=limits))

    async def find(self, plan: SessionPlan, *, known: Collection[str]) -> str | None:
        """See ProviderSessions."""
        listed = [each for each in await self._client.sessions() if each.session_id not in known and _fits(each, plan)]
        unused = [each for each in listed if not await self._client.session_has_jobs(each.session_id)]
        ours = [each for each in unused if _mark_in(each) == _mark_of(plan.key)]
        if len(ours) == 1:
            return ours[0].session_id
        doubtful = ours or [each for each in unused if not each.is_over and _mark_in(each) is None]
        if doubtful:
            raise UnknownOutcomeError(_tell_doubt(plan, [each.session_id for each in doubtful]))
        return None

    async def close(self, session_id: str) -> None:
        """See ProviderSessions."""
        if is_safe_id(session_id):
            await self._client.end_session(session_id)

    async def explain_end(self, session_id: str, refusal: RejectedError) -> RejectedError:
        """Why a session took no job: SpendingLimitError if IonQ itself has ended it, else the refusal as it is.

        Another session would have the same limits again, and so would spend more than they allow. Raises BusyError if
        no answer comes.
        """
        session = await self._client.session(session_id)
        if session is None or not session.is_at_limit:
            return refusal
        return SpendingLimitError(
            f"{refusal}; IonQ itself has ended the session, whose limits were {describe_limits(session.limits)}. What"
            " it accepted is kept: resume the run, which opens a session with the same limits, or start one with higher"
            " limits (max_cost=, max_jobs=, max_ttl=)"
        )


def _mark_of(key: str) -> int:
    """Millionths of a dollar by which sessions are told apart: 1 to 9,999, below a cent."""
    return 1 + int(key[:8], 16) % (_CENT - 1)


def _mark_in(session: IonqSession) -> int | None:
    """The mark of a session; None if it has none, as its cost is not limited, or in whole cents."""
    return (session.limits.cost_usd_micros or 0) % _CENT or None


def _fits(session: IonqSession, plan: SessionPlan) -> bool:
    """Whether it can have been made by the plan; a time that is not said may be any."""
    made_at = session.created_at
    is_then = made_at is None or plan.planned_at - BEFORE <= made_at <= plan.planned_at + AFTER
    return session.device == plan.device and is_then


def _tell_doubt(plan: SessionPlan, session_ids: Sequence[str]) -> str:
    at = f"{plan.planned_at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"a session on {plan.device} was asked for at {at}, and no answer came; it may be one of"
        f" {', '.join(session_ids[:3])}, which have no jobs, or somebody else's: if nobody else uses these, end them"
        " at IonQ, then run `qorch recover`"
    )
