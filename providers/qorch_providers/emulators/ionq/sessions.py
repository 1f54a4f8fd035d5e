"""Sessions of the emulated service: created, used by jobs, and ended by a caller or when their time is over.

The limits are those of the published reference: so many jobs, so many minutes from the first job on, and so much money.
What a job would cost counts from its acceptance, and not any more if it fails or is cancelled before it ran. A job
beyond a limit is refused. How the real service words and numbers that is not published.
"""

import uuid
from dataclasses import dataclass, field

from qorch.errors import UsageError
from qorch_providers.emulators.ionq.jobs import Job, Order
from qorch_providers.emulators.ionq.money import MICROS
from qorch_providers.emulators.ionq.wire import SessionLimitsWire, SessionWire
from qorch_providers.emulators.kit.answers import RefusedError
from qorch_providers.emulators.kit.clock import ScaledClock, format_iso

ORGANIZATION_ID = "00000000-0000-4000-8000-000000000002"
_MINUTE_SECONDS = 60.0


@dataclass(eq=False)
class Session:
    """One session; times in seconds since 1970. ``ender_id``: who has ended it, None if its time was over."""

    id: str
    backend: str
    limits: SessionLimitsWire
    creator_id: str
    created_unix: float
    started_unix: float | None = None
    expires_seconds: float | None = None
    ended_unix: float | None = None
    ender_id: str | None = None
    jobs: list[Job] = field(default_factory=list)

    @property
    def status(self) -> str:
        """created, started or ended."""
        if self.ended_unix is not None:
            return "ended"
        return "created" if self.started_unix is None else "started"

    @property
    def spent_micros(self) -> int:
        """What its jobs cost, or will cost, as things stand."""
        return sum(job.price_micros for job in self.jobs)


class Sessions:
    """All sessions of a server."""

    def __init__(self, *, clock: ScaledClock) -> None:
        """None yet."""
        self._clock = clock
        self._by_id: dict[str, Session] = {}

    def open(self, wire: SessionWire, *, creator_id: str) -> Session:
        """A new session. Raises UsageError for limits that cannot be."""
        _check_limits(wire.settings)
        session = Session(str(uuid.uuid4()), wire.backend, wire.settings, creator_id, self._clock.unix())
        self._by_id[session.id] = session
        return session

    def find(self, session_id: str) -> Session:
        """The session of that id, as it is now. Raises RefusedError (404)."""
        if session_id not in self._by_id:
            raise RefusedError(404, f"session '{session_id}' was not found")
        return self._expire(self._by_id[session_id])

    def all(self) -> list[Session]:
        """All sessions as they are now, newest first."""
        return [self._expire(session) for session in self._by_id.values()][::-1]

    def end(self, session_id: str, *, ender_id: str) -> Session:
        """The session, which takes no more jobs. Raises RefusedError (404)."""
        session = self.find(session_id)
        if session.ended_unix is None:
            session.ended_unix, session.ender_id = self._clock.unix(), ender_id
        return session

    def check(self, order: Order) -> None:
        """Raise UsageError if a job must not be put into its session."""
        if order.session_id is None:
            return
        if order.session_id not in self._by_id or self.find(order.session_id).status == "ended":
            raise UsageError(f"session '{order.session_id}' is not open")
        session = self.find(order.session_id)
        if session.backend != order.backend:
            raise UsageError(f"the job is for {order.backend}, but session '{session.id}' is for {session.backend}")
        most_jobs, cost = session.limits.job_count_limit, session.limits.cost_limit
        if most_jobs is not None and len(session.jobs) >= most_jobs:
            raise UsageError(f"session '{session.id}' has reached its limit of {most_jobs} jobs")
        if cost is not None and session.spent_micros + _price_micros(order) > round(cost.value * MICROS):
            raise UsageError(f"session '{session.id}' would exceed its cost limit of {cost.value} {cost.unit}")

    def enter(self, job: Job) -> None:
        """Count a job in its session."""
        if job.order.session_id is None:
            return
        session = self._by_id[job.order.session_id]
        session.jobs.append(job)
        if session.started_unix is None:
            session.started_unix = self._clock.unix()
            if session.limits.duration_limit_min is not None:
                duration = session.limits.duration_limit_min * _MINUTE_SECONDS
                session.expires_seconds = self._clock.protocol_seconds() + duration

    def document(self, session: Session) -> dict[str, object]:
        """``GET /sessions/{id}``."""
        ended = session.ended_unix
        document = {
            "id": session.id,
            "created_at": format_iso(session.created_unix),
            "organization_id": ORGANIZATION_ID,
            "backend": session.backend,
            "project_id": None,
            "creator_id": session.creator_id,
            "started_at": self._shown(session, session.started_unix),
            "ended_at": self._shown(session, ended),
            "ender_id": session.ender_id,
            "active": session.status != "ended",
            "status": session.status,
        }
        return document | {"settings": _settings_document(session.limits)}

    def _shown(self, session: Session, unix: float | None) -> str | None:
        return None if unix is None else format_iso(self._clock.project(session.created_unix, unix))

    def _expire(self, session: Session) -> Session:
        """End a session whose time is over, with the time when that was."""
        late = None if session.expires_seconds is None else self._clock.protocol_seconds() - session.expires_seconds
        if session.ended_unix is None and late is not None and late >= 0:
            session.ended_unix = self._clock.unix() - late / self._clock.scale
        return session


def _settings_document(limits: SessionLimitsWire) -> dict[str, object]:
    cost = limits.cost_limit
    settings = {
        "job_count_limit": limits.job_count_limit,
        "duration_limit_min": limits.duration_limit_min,
        "cost_limit": None if cost is None else {"unit": cost.unit, "value": cost.value},
    }
    return {name: value for name, value in settings.items() if value is not None}


def _check_limits(limits: SessionLimitsWire) -> None:
    counts = {"job_count_limit": limits.job_count_limit, "duration_limit_min": limits.duration_limit_min}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UsageError(f"{name} must be 1 or more, not {count}")
    cost = limits.cost_limit
    if cost is not None and (cost.unit.lower() != "usd" or not 0 < cost.value < 1e9):
        raise UsageError("cost_limit must be an amount above 0 in usd: that is what this emulator counts in")


def _price_micros(order: Order) -> int:
    """What a job will cost if all of it runs."""
    return 0 if order.dry_run else max(order.least_micros, int(order.circuit_micros.sum()))
