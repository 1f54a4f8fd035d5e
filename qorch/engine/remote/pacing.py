"""How fast an account is used: pure moves of the state that all processes share about it.

Additive increase, multiplicative decrease of the jobs in progress; a window for hard rate limits, configured or
learned; pauses as long as a server asks for, or with full jitter if it does not say; while it refuses, one probe at
a time. All times are seconds of the store that keeps the state (see ``Store.update_shared_state``), which all processes
share, however far apart their own clocks are; times from before a restart of that clock are dropped.

An undeclared limit is learned: if a server asks to wait, submissions afterwards leave one at a time, and what it
takes until it asks again is what its window holds. So it refuses twice, and not once per window.
"""

from dataclasses import dataclass

import msgspec

from qorch.ports.policy import Rate, Terms

FIRST_LIMIT = 10.0
"""Jobs in progress with which an account starts, before anything is known of it."""
FIRST_ALONE = 8
"""So many submissions of an unknown account leave one at a time, then ever more: a low limit is met by one of them."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 120.0
"""The range of pauses that double with every refusal in a row."""
SHORTEST_WAIT_SECONDS = 0.001
"""What is left of a wait by rounding must not be waited for again and again."""
LONGEST_WAIT_SECONDS = 86_400.0
"""No server is obeyed that asks for a longer pause."""
LONGEST_WINDOW_SECONDS = 3600.0
"""No longer window is learned."""
LEARNING_SECONDS = 120.0
"""A server that asked to wait, and then takes all that comes for so long, has no limit that could be learned."""
LEARNED_SECONDS = 7200.0
"""How long a learned limit is believed: the next one may be higher."""
REMEMBERED = 128
"""Answered submissions that are remembered if no rate is known."""
FORGET_SECONDS = 300.0
"""A process that has not been heard of for so long no longer counts: it is gone, and pacing is a courtesy."""
LOOK_AGAIN_SECONDS = 0.5
"""How soon to ask again if another process's jobs take all places."""
BEHIND_SECONDS = 60.0
"""How much older than the state a time may be without being taken for that of a clock that was started anew."""
SHOW_SECONDS = FORGET_SECONDS / 2
"""How often a process that waits for its own jobs shows that it is there."""


class Holder(msgspec.Struct, frozen=True):
    """What one run has under way: ``jobs`` in progress, of which ``sending`` are not answered yet."""

    jobs: int = 0
    sending: int = 0
    seen_at: float = 0.0


class Learned(msgspec.Struct, frozen=True):
    """A limit as it was met at ``at``: ``calls`` in any window of ``seconds``."""

    calls: int
    seconds: float
    at: float


class Throttle(msgspec.Struct, frozen=True):
    """How fast an account is used: the state that all processes share.

    ``limit``: jobs in progress that seem welcome; ``sent``: when submissions were answered, as
    far back as matters; ``refusals`` in a row; ``lowered_at``: when the limit was last halved; ``opened``: acceptances
    since the start, or since a server asked to wait; ``round_at``: when the last such pause ended or will;
    ``changed_at``: when any of this was last changed.
    """

    limit: float = FIRST_LIMIT
    holders: dict[str, Holder] = {}
    sent: tuple[float, ...] = ()
    paused_until: float = 0.0
    refusals: int = 0
    lowered_at: float = 0.0
    opened: int = 0
    round_at: float = 0.0
    is_learning: bool = False
    learned: Learned | None = None
    changed_at: float = 0.0


@dataclass(frozen=True)
class Admission:
    """The answer to a wish to submit: go (``wait_seconds`` 0), or ask again after so long.

    ``until_freed``: or as soon as a job of this process is over. ``is_probe``: the account refused lately, and this
    one is to find out whether it still does.
    """

    wait_seconds: float
    until_freed: bool = False
    is_probe: bool = False


def decode_throttle(state: bytes | None) -> Throttle:
    """The state as stored; what cannot be read is as good as new."""
    if state is None:
        return Throttle()
    try:
        return msgspec.json.decode(state, type=Throttle)
    except msgspec.MsgspecError:
        return Throttle()


def encode_throttle(throttle: Throttle) -> bytes:
    """The state to be stored."""
    return msgspec.json.encode(throttle)


def enter(throttle: Throttle, holder: str, *, now: float) -> Throttle:
    """A process begins: what an earlier one of its name was sending may have arrived until now."""
    left = throttle.holders.get(holder, Holder())
    sent = (*throttle.sent, *(now for _ in range(left.sending)))
    return msgspec.structs.replace(leave(throttle, holder, now=now), sent=sent)


def admit(throttle: Throttle, holder: str, *, now: float, terms: Terms) -> tuple[Throttle, Admission]:
    """Let one submission of ``holder`` go, or say when to ask again."""
    throttle = _forget(throttle, holder, now=now, terms=terms)
    pause = throttle.paused_until - now
    if pause > 0:
        return _with(throttle, holder, now=now), Admission(max(pause, SHORTEST_WAIT_SECONDS))
    if not _has_room(throttle, terms):
        is_shared = any(other.jobs for name, other in throttle.holders.items() if name != holder)
        wait = LOOK_AGAIN_SECONDS if is_shared else SHOW_SECONDS
        return _with(throttle, holder, now=now), Admission(wait, until_freed=True)
    wait = max((_window_wait(throttle, rate, now=now) for rate in _rates(throttle, terms)), default=0.0)
    if wait > 0:
        return _with(throttle, holder, now=now), Admission(wait, until_freed=not throttle.sent)
    return _with(throttle, holder, jobs=1, sending=1, now=now), Admission(0.0, is_probe=throttle.refusals > 0)


def _has_room(throttle: Throttle, terms: Terms) -> bool:
    in_progress = sum(other.jobs for other in throttle.holders.values())
    if in_progress >= max(1, int(min(throttle.limit, terms.most_jobs))):
        return False
    is_alone = throttle.refusals or throttle.is_learning or throttle.opened < FIRST_ALONE
    return _sending(throttle) < (1 if is_alone else 2 + throttle.opened - FIRST_ALONE)


def _window_wait(throttle: Throttle, rate: Rate, *, now: float) -> float:
    """Until one more is allowed. The server may count a call at any moment until its answer is here: the window starts
    with the answer.
    """
    sent = [at for at in throttle.sent if at > now - rate.seconds]
    if len(sent) + _sending(throttle) < rate.calls:
        return 0.0
    return max(sent[0] + rate.seconds - now, SHORTEST_WAIT_SECONDS) if sent else LOOK_AGAIN_SECONDS


def accept(throttle: Throttle, holder: str, *, now: float, terms: Terms) -> Throttle:
    """A submission was accepted: a little more is welcome."""
    throttle = msgspec.structs.replace(
        throttle,
        limit=min(float(terms.most_jobs), throttle.limit + 1.0 / max(1.0, throttle.limit)),
        refusals=0,
        opened=throttle.opened + 1,
        is_learning=throttle.is_learning and now < throttle.round_at + LEARNING_SECONDS,
    )
    return _answered(throttle, holder, now=now)


def reject(throttle: Throttle, holder: str, *, now: float) -> Throttle:
    """A submission was refused for what it is, or its caller was cancelled: the throttle stays as it is."""
    return _with(_answered(throttle, holder, now=now), holder, jobs=-1, now=now)


def withdraw(throttle: Throttle, holder: str, *, now: float) -> Throttle:
    """A submission was not sent after all."""
    return _with(throttle, holder, jobs=-1, sending=-1, now=now)


def refuse(
    throttle: Throttle,
    holder: str,
    *,
    now: float,
    terms: Terms,
    admitted_at: float,
    jitter: float,
    retry_after_seconds: float | None = None,
    is_limit: bool = True,
    is_over: bool = True,
    is_sent: bool = True,
) -> Throttle:
    """A submission met a limit or trouble: halve once per round, and pause.

    ``jitter`` from 0 to 1; ``admitted_at``: submissions that were under way when the limit was halved do not halve it
    again; ``is_limit``: a time to wait, if the server names one, tells of a limit; ``is_over``: the job is provably
    not in progress; ``is_sent``: it had left. If it had not, as a question was answered in its stead, no window has it.
    """
    refusals = throttle.refusals + 1
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(refusals, 30))
    pause = jitter * longest if retry_after_seconds is None else min(retry_after_seconds, LONGEST_WAIT_SECONDS)
    is_new_round = admitted_at >= throttle.lowered_at
    asks = is_limit and retry_after_seconds is not None
    if asks and is_new_round:
        throttle = _learn(throttle, now=now, pause=pause)
    paused_until = max(throttle.paused_until, now + pause)
    throttle = msgspec.structs.replace(
        throttle,
        limit=max(1.0, throttle.limit / 2) if is_new_round and not throttle.learned else throttle.limit,
        lowered_at=now if is_new_round else throttle.lowered_at,
        refusals=refusals if is_new_round else max(1, throttle.refusals),
        paused_until=paused_until,
        round_at=paused_until if asks else throttle.round_at,
        opened=0 if asks else min(throttle.opened, FIRST_ALONE),
    )
    # Whether a refused submission counts in the window is the server's secret: it does if the window is known.
    is_counted = is_sent and (terms.rate is not None or not asks)
    throttle = _answered(throttle, holder, now=now, is_counted=is_counted)
    return _with(throttle, holder, jobs=-1 if is_over else 0, now=now)


def _learn(throttle: Throttle, *, now: float, pause: float) -> Throttle:
    """What was accepted in this round is what the window holds, once a round began with a pause and one at a time."""
    reach = throttle.learned.seconds if throttle.learned else LONGEST_WINDOW_SECONDS
    taken = [at for at in throttle.sent if at >= max(throttle.round_at, now - reach)]
    if not taken or not (throttle.is_learning or throttle.learned):
        return msgspec.structs.replace(throttle, is_learning=True, learned=None)
    learned = Learned(len(taken), min(now + pause - taken[0], LONGEST_WINDOW_SECONDS), now)
    return msgspec.structs.replace(throttle, is_learning=False, learned=learned)


def finish(throttle: Throttle, holder: str, *, now: float) -> Throttle:
    """A job is over."""
    return _with(throttle, holder, jobs=-1, now=now)


def leave(throttle: Throttle, holder: str, *, now: float) -> Throttle:
    """A process ends: what it leaves at the provider no longer counts, but what it was sending may have arrived."""
    left = throttle.holders.get(holder, Holder())
    holders = {name: other for name, other in throttle.holders.items() if name != holder}
    return msgspec.structs.replace(
        throttle, holders=holders, sent=(*throttle.sent, *(now for _ in range(left.sending)))
    )


def _answered(throttle: Throttle, holder: str, *, now: float, is_counted: bool = True) -> Throttle:
    sent = (*throttle.sent, now) if is_counted else throttle.sent
    return _with(msgspec.structs.replace(throttle, sent=sent), holder, sending=-1, now=now)


def _with(throttle: Throttle, holder: str, *, now: float, jobs: int = 0, sending: int = 0) -> Throttle:
    old = throttle.holders.get(holder, Holder())
    new = Holder(max(0, old.jobs + jobs), max(0, old.sending + sending), now)
    return msgspec.structs.replace(throttle, holders={**throttle.holders, holder: new}, changed_at=now)


def _sending(throttle: Throttle) -> int:
    return sum(other.sending for other in throttle.holders.values())


def _rates(throttle: Throttle, terms: Terms) -> list[Rate]:
    rates = [] if terms.rate is None else [terms.rate]
    return rates if throttle.learned is None else [*rates, Rate(throttle.learned.calls, throttle.learned.seconds)]


def _forget(throttle: Throttle, holder: str, *, now: float, terms: Terms) -> Throttle:
    """Drop silent processes, and what has left every window."""
    if now < throttle.changed_at - BEHIND_SECONDS:  # the store's clock was started anew, as that of SQLite by a reboot
        throttle = Throttle(limit=throttle.limit)
    learned = throttle.learned if throttle.learned and now - throttle.learned.at < LEARNED_SECONDS else None
    rates = _rates(msgspec.structs.replace(throttle, learned=learned), terms)
    window = max((rate.seconds for rate in rates), default=LONGEST_WINDOW_SECONDS)
    most = max([REMEMBERED, *(rate.calls for rate in rates)])
    holders = {
        name: other
        for name, other in throttle.holders.items()
        if name == holder or now - other.seen_at < FORGET_SECONDS
    }
    sent = tuple(at for at in throttle.sent if at > now - window)[-most:]
    return msgspec.structs.replace(throttle, holders=holders, sent=sent, learned=learned)
