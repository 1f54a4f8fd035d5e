"""What a run's measured phases advise: sentences with numbers, each about time that was seen to be lost."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from qorch.model.timing import Phase
from qorch.ports.records import JobRecord

LEAST_SHARE = 0.02
"""Of the wall time; what is less is not worth a sentence."""
_OF_EACH_JOB = (Phase.CONNECT, Phase.SERVER, Phase.SUBMIT, Phase.TRANSFER, Phase.PACE)
"""Phases whose length grows with the number of jobs, and not with what they carry."""


def advise(seconds: Mapping[str, float], jobs: Sequence[JobRecord]) -> tuple[str, ...]:
    """The advice for a run, the greatest gain first.

    ``seconds``: its wall time by phase id, adding up to the whole. ``jobs``: those that were sent.
    """
    wall = sum(seconds.values())
    found = chain(_pack(seconds, jobs), _poll(seconds), _queue(seconds), _pace(seconds), _model(seconds, jobs))
    worth = sorted((gain, text) for gain, text in found if wall and gain / wall >= LEAST_SHARE)
    return tuple(f"{text} ({gain / wall:.0%} of the wall time)" for gain, text in reversed(worth))


def _pack(seconds: Mapping[str, float], jobs: Sequence[JobRecord]) -> Iterator[tuple[float, str]]:
    calls = len({job.position for job in jobs})
    if not jobs or len(jobs) == calls:
        return
    now, then = (sum(job.n_executions for job in jobs) / count for count in (len(jobs), calls))
    gain = sum(seconds.get(phase, 0.0) for phase in _OF_EACH_JOB) * (1.0 - calls / len(jobs))
    yield (
        gain,
        f"packing {then:,.0f} executions into a job instead of {now:,.0f}, as many as a call has, would save about"
        f" {_duration(gain)}, if the backend takes so many",
    )


def _poll(seconds: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    lag = seconds.get(Phase.POLL, 0.0)
    yield lag, f"jobs were done for {_duration(lag)} before a poll saw it"


def _queue(seconds: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    waited = seconds.get(Phase.QUEUE, 0.0)
    yield (
        waited,
        f"{_duration(waited)} went by in the provider's queue while nothing else happened: fewer and larger steps, or a"
        " session of the provider (mode=), wait less often",
    )


def _pace(seconds: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    waited = seconds.get(Phase.PACE, 0.0)
    yield waited, f"jobs waited {_duration(waited)} for their turn, by the limits of the account"


def _model(seconds: Mapping[str, float], jobs: Sequence[JobRecord]) -> Iterator[tuple[float, str]]:
    own = seconds.get(Phase.MODEL, 0.0)
    if any(job.provider_id for job in jobs):
        yield own, f"the training loop's own code took {_duration(own)}, in which the provider had nothing to do"


def _duration(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:,.1f} hours"
    return f"{seconds / 60:,.1f} min" if seconds >= 120 else f"{seconds:,.1f} s"
