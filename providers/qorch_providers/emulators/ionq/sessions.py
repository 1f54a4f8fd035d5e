"""Sessions of the emulated service: created, used by jobs, ended."""

import uuid
from dataclasses import dataclass, field

from qorch.errors import UsageError
from qorch_providers.emulators.ionq.wire import SessionWire
from qorch_providers.emulators.kit.answers import RefusedError
from qorch_providers.emulators.kit.clock import format_iso

ORGANIZATION_ID = "00000000-0000-4000-8000-000000000002"


@dataclass(eq=False)
class Session:
    """One session; times in seconds since 1970."""

    id: str
    backend: str
    settings: dict[str, object]
    creator_id: str
    created_unix: float
    started_unix: float | None = None
    ended_unix: float | None = None
    n_jobs: int = 0

    @property
    def status(self) -> str:
        """created, started or ended."""
        if self.ended_unix is not None:
            return "ended"
        return "created" if self.started_unix is None else "started"


@dataclass
class Sessions:
    """All sessions of a server."""

    _by_id: dict[str, Session] = field(default_factory=dict)

    def open(self, wire: SessionWire, *, creator_id: str, now_unix: float) -> Session:
        """A new session."""
        session = Session(str(uuid.uuid4()), wire.backend, wire.settings, creator_id, now_unix)
        self._by_id[session.id] = session
        return session

    def find(self, session_id: str) -> Session:
        """The session of that id. Raises RefusedError (404)."""
        if session_id not in self._by_id:
            raise RefusedError(404, f"session '{session_id}' was not found")
        return self._by_id[session_id]

    def all(self) -> list[Session]:
        """All sessions, newest first."""
        return list(self._by_id.values())[::-1]

    def check(self, session_id: str | None) -> None:
        """Raise UsageError if a job must not be put into this session."""
        if session_id is None:
            return
        session = self._by_id.get(session_id)
        if session is None or session.status == "ended":
            raise UsageError(f"session '{session_id}' is not open")
        limit = session.settings.get("job_count_limit")
        if isinstance(limit, int) and session.n_jobs >= limit:
            raise UsageError(f"session '{session_id}' has reached its limit of {limit} jobs")

    def enter(self, session_id: str | None, *, now_unix: float) -> None:
        """Count a job in its session."""
        if session_id is not None:
            session = self._by_id[session_id]
            session.n_jobs += 1
            session.started_unix = session.started_unix or now_unix


def session_document(session: Session) -> dict[str, object]:
    """``GET /sessions/{id}``."""
    started, ended = session.started_unix, session.ended_unix
    return {
        "id": session.id,
        "created_at": format_iso(session.created_unix),
        "organization_id": ORGANIZATION_ID,
        "backend": session.backend,
        "project_id": None,
        "creator_id": session.creator_id,
        "started_at": None if started is None else format_iso(started),
        "ended_at": None if ended is None else format_iso(ended),
        "ender_id": None if ended is None else session.creator_id,
        "active": session.status != "ended",
        "status": session.status,
        "settings": session.settings,
    }
