"""Opens, finds and closes sessions and batches of an instance.

IBM keeps no key with a session, as a session has no tags. What it does keep and show is the longest time that was asked
for. So each opening asks for a little less than the option allows, by a number of seconds that follows from its key.
A session whose answer was lost is ours if all of this is so: its device, mode and longest time are those of the plan,
it was made when the plan was sent, the database has no other record of it, and it has no job, since nobody knows its
id. If the longest time was cut short by a plan of IBM's, that proof is missing: it may be ours and is not closed. Such
a session costs nothing, as IBM charges from its first job on.
"""

import datetime
from collections.abc import Collection, Sequence
from types import MappingProxyType

from qorch.errors import UnknownOutcomeError
from qorch.ports.clock import Clock
from qorch.ports.provider_sessions import SessionPlan
from qorch_providers.http import is_safe_id
from qorch_providers.ibm.jobs.times import as_query
from qorch_providers.ibm.options import ExecutionMode, Options
from qorch_providers.ibm.wire.client import IbmClient
from qorch_providers.ibm.wire.session_documents import IbmWorkload, encode_opening

BEFORE, AFTER = datetime.timedelta(minutes=5), datetime.timedelta(minutes=15)
"""How far from the time of its plan a session may have been made: doubt about clocks, and about slow answers."""
TTL_SHARE = 8
"""At most this fraction (an eighth) of the longest time is given away to tell sessions apart."""
MOST_PAGES = 40
_PAGE = 50
_WIRE_MODES = MappingProxyType({ExecutionMode.SESSION: "dedicated", ExecutionMode.BATCH: "batch"})
"""IBM's words when a session is opened; in its lists, a dedicated one is called a session."""
_LISTED_MODES = MappingProxyType({"dedicated": frozenset({"session", "dedicated"}), "batch": frozenset({"batch"})})


def wire_mode(options: Options) -> str:
    """IBM's word for the sessions that are to be opened; empty if every job runs by itself."""
    return _WIRE_MODES.get(options.mode, "")


def ttl_of(key: str, *, most_seconds: int) -> int:
    """The longest time that a session with this key asks for."""
    return most_seconds - int(key[:8], 16) % (most_seconds // TTL_SHARE)


class IbmSessions:
    """The sessions of one client."""

    def __init__(self, client: IbmClient, *, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._client = client
        self._clock = clock

    async def open(self, plan: SessionPlan) -> str:
        """See ProviderSessions."""
        body = encode_opening(mode=plan.mode, device=plan.device, max_ttl_seconds=plan.max_ttl_seconds)
        return await self._client.open_session(body)

    async def find(self, plan: SessionPlan, *, known: Collection[str]) -> str | None:
        """See ProviderSessions."""
        listed = [each for each in await self._list(plan) if each.session_id not in known]
        unused = [each for each in listed if await self._is_unused(each)]
        ttls = {each.session_id: await self._client.session_ttl(each.session_id) for each in unused}
        ours = [each for each in unused if ttls[each.session_id] == plan.max_ttl_seconds]
        if len(ours) == 1:
            return ours[0].session_id
        doubtful = [each.session_id for each in ours or unused if not each.is_over and _may_be_ours(ttls, each, plan)]
        if doubtful:
            raise UnknownOutcomeError(_tell_doubt(plan, doubtful))
        return None

    async def close(self, session_id: str) -> None:
        """See ProviderSessions."""
        if is_safe_id(session_id):
            await self._client.close_session(session_id)

    async def _list(self, plan: SessionPlan) -> list[IbmWorkload]:
        """All sessions that were made when the plan was sent, on its device and in its mode."""
        modes = _LISTED_MODES.get(plan.mode, frozenset({plan.mode}))
        query = [
            ("limit", str(_PAGE)),
            ("created_after", as_query(plan.planned_at - BEFORE)),
            ("created_before", as_query(plan.planned_at + AFTER)),
            ("backend", plan.device),
        ]
        found: list[IbmWorkload] = []
        cursor = ""
        for _ in range(MOST_PAGES):
            page, cursor = await self._client.workloads([*query, *([("next", cursor)] if cursor else [])])
            found += [each for each in page if each.mode in modes and each.device == plan.device and _fits(each, plan)]
            if not cursor:
                return found
        raise UnknownOutcomeError(
            f"IBM Quantum's list of sessions has more than {MOST_PAGES} pages of that time:"
            " look there for one without jobs, cancel it if nobody else uses it, then run `qorch recover`"
        )

    async def _is_unused(self, session: IbmWorkload) -> bool:
        page = await self._client.jobs([("session_id", session.session_id)], offset=0, purpose="find session")
        return not page.jobs


def _fits(session: IbmWorkload, plan: SessionPlan) -> bool:
    """Whether it can have been made by the plan; a time that is not said may be any."""
    made_at = session.created_at
    return made_at is None or plan.planned_at - BEFORE <= made_at <= plan.planned_at + AFTER


def _may_be_ours(ttls: dict[str, int | None], session: IbmWorkload, plan: SessionPlan) -> bool:
    """Whether its longest time is that of the plan, or less, as IBM may have cut it short."""
    ttl = ttls[session.session_id]
    return ttl is None or plan.max_ttl_seconds is None or ttl <= plan.max_ttl_seconds


def _tell_doubt(plan: SessionPlan, session_ids: Sequence[str]) -> str:
    at = f"{plan.planned_at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"a session on {plan.device} was asked for at {at}, and no answer came; it may be one of"
        f" {', '.join(session_ids[:3])}, which have no jobs, or somebody else's: if nobody else uses these, cancel them"
        " at IBM (they cost nothing as long as they have no jobs), then run `qorch recover`"
    )
