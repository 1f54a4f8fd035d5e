"""How fast an account is used: pure moves of the state that all processes share about it.

Additive increase, multiplicative decrease of the jobs in progress; a window for hard rate limits; pauses as long as a
server asks for, or with full jitter where it does not say; while it refuses, one probe at a time. All times are
seconds of the wall clock since 1970, because several processes, and restarts, compare them.
"""

from dataclasses import dataclass

import msgspec

from qorch.policy import Terms

FIRST_LIMIT = 10.0
"""Jobs in progress with which an account starts, before anything is known of it."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 120.0
"""The range of pauses that double with every refusal in a row."""
LONGEST_WAIT_SECONDS = 3600.0
"""No pause is believed that ends later: the wall clock of this machine, or of another, jumped."""
FORGET_SECONDS = 300.0
"""A process that has not been heard of for so long no longer counts: it is gone, and pacing is a courtesy."""
LOOK_AGAIN_SECONDS = 0.5
"""How soon to ask again where another process's jobs stand in the way."""


class Holder(msgspec.Struct, frozen=True):
    """What one run has under way: ``jobs`` in progress, of which ``sending`` are not answered yet."""

    jobs: int = 0
    sending: int = 0
    seen_at: float = 0.0


class Pace(msgspec.Struct, frozen=True):
    """The shared state. ``limit``: jobs in progress that seem welcome; ``sent``: when submissions were answered, as
    far back as the rate's window reaches; ``refusals`` in a row; ``lowered_at``: when the limit was last halved.
    """

    limit: float = FIRST_LIMIT
    holders: dict[str, Holder] = {}
    sent: tuple[float, ...] = ()
    paused_until: float = 0.0
    refusals: int = 0
    lowered_at: float = 0.0


@dataclass(frozen=True)
class Admission:
    """The answer to a wish to submit: go (``wait_seconds`` 0), or ask again after so long.

    ``is_probe``: the account refused lately, and this one is to find out whether it still does.
    """

    wait_seconds: float
    is_probe: bool = False


def decode_pace(state: bytes | None) -> Pace:
    """The state as stored; what cannot be read is as good as new."""
    if state is None:
        return Pace()
    try:
        return msgspec.json.decode(state, type=Pace)
    except msgspec.MsgspecError:
        return Pace()


def encode_pace(pace: Pace) -> bytes:
    """The state to be stored."""
    return msgspec.json.encode(pace)


def admit(pace: Pace, holder: str, *, now: float, terms: Terms) -> tuple[Pace, Admission]:
    """Let one submission of ``holder`` go, or say when to ask again."""
    pace = _forget(pace, now=now, terms=terms)
    wait = _wait_seconds(pace, now=now, terms=terms)
    if wait > 0:
        return _with(pace, holder, now=now), Admission(wait)
    return _with(pace, holder, jobs=1, sending=1, now=now), Admission(0.0, is_probe=pace.refusals > 0)


def _wait_seconds(pace: Pace, *, now: float, terms: Terms) -> float:
    pause = pace.paused_until - now
    if 0 < pause <= LONGEST_WAIT_SECONDS:
        return pause
    sending = sum(other.sending for other in pace.holders.values())
    in_progress = sum(other.jobs for other in pace.holders.values())
    if in_progress >= max(1, int(min(pace.limit, terms.most_jobs))) or (pace.refusals and sending):
        return LOOK_AGAIN_SECONDS
    if terms.rate is None or len(pace.sent) + sending < terms.rate.calls:
        return 0.0
    # The server may count a call at any moment until its answer is here: the window starts with the answer.
    return max(pace.sent[0] + terms.rate.seconds - now, 1e-3) if pace.sent else LOOK_AGAIN_SECONDS


def accept(pace: Pace, holder: str, *, now: float, terms: Terms) -> Pace:
    """A submission was accepted: a little more is welcome."""
    limit = min(float(terms.most_jobs), pace.limit + 1.0 / max(1.0, pace.limit))
    return _answered(msgspec.structs.replace(pace, limit=limit, refusals=0), holder, now=now, terms=terms)


def reject(pace: Pace, holder: str, *, now: float, terms: Terms) -> Pace:
    """A submission was refused for what it is: that says nothing of the pace."""
    return _with(_answered(pace, holder, now=now, terms=terms), holder, jobs=-1, now=now)


def refuse(
    pace: Pace,
    holder: str,
    *,
    now: float,
    terms: Terms,
    admitted_at: float,
    jitter: float,
    retry_after_seconds: float | None = None,
    is_over: bool = True,
) -> Pace:
    """A submission met a limit or trouble: halve once per round, and pause.

    ``jitter`` from 0 to 1; ``admitted_at``: submissions that were under way when the limit was halved do not halve it
    again; ``is_over``: the job is provably not in progress.
    """
    refusals = pace.refusals + 1
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(refusals, 30))
    pause = jitter * longest if retry_after_seconds is None else retry_after_seconds
    is_new_round = admitted_at >= pace.lowered_at
    pace = msgspec.structs.replace(
        pace,
        limit=max(1.0, pace.limit / 2) if is_new_round else pace.limit,
        lowered_at=now if is_new_round else pace.lowered_at,
        refusals=refusals if is_new_round else max(1, pace.refusals),
        paused_until=max(pace.paused_until, now + min(pause, LONGEST_WAIT_SECONDS)),
    )
    return _with(_answered(pace, holder, now=now, terms=terms), holder, jobs=-1 if is_over else 0, now=now)


def finish(pace: Pace, holder: str, *, now: float) -> Pace:
    """A job is over."""
    return _with(pace, holder, jobs=-1, now=now)


def leave(pace: Pace, holder: str) -> Pace:
    """A process ends: what it leaves at the provider no longer counts."""
    return msgspec.structs.replace(
        pace, holders={name: other for name, other in pace.holders.items() if name != holder}
    )


def _answered(pace: Pace, holder: str, *, now: float, terms: Terms) -> Pace:
    sent = (*pace.sent, now) if terms.rate is not None else ()
    return _with(msgspec.structs.replace(pace, sent=sent), holder, sending=-1, now=now)


def _with(pace: Pace, holder: str, *, now: float, jobs: int = 0, sending: int = 0) -> Pace:
    old = pace.holders.get(holder, Holder())
    new = Holder(max(0, old.jobs + jobs), max(0, old.sending + sending), now)
    return msgspec.structs.replace(pace, holders={**pace.holders, holder: new})


def _forget(pace: Pace, *, now: float, terms: Terms) -> Pace:
    """Drop processes that are silent, and answers that have left the rate's window (or come from the future)."""
    holders = {name: other for name, other in pace.holders.items() if abs(now - other.seen_at) < FORGET_SECONDS}
    window = 0.0 if terms.rate is None else terms.rate.seconds
    sent = tuple(at for at in pace.sent if now - window < at <= now + window)
    return msgspec.structs.replace(pace, holders=holders, sent=sent)
