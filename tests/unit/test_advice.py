"""What a report advises: the greatest gain first, with the numbers that were measured, and nothing about trifles."""

from dataclasses import replace

from qorch.audit.advice import advise
from qorch.model.identity import Position
from qorch.model.timing import UNATTRIBUTED, Phase
from qorch.ports.records import JobRecord
from qorch.testing.conformance.store_records import make_job


def jobs_of(calls: int, jobs_per_call: int, executions: int) -> list[JobRecord]:
    """Jobs at a provider."""
    return [
        replace(
            make_job(f"r/{call}.0.{job}", position=Position(call, 0)),
            n_executions=executions,
            provider_id=f"{call}.{job}",
        )
        for call in range(calls)
        for job in range(jobs_per_call)
    ]


def test_small_jobs_should_be_packed() -> None:
    """64 jobs of one execution in each call: what submitting them took would be needed once a call."""
    seconds = {Phase.SUBMIT.value: 100.0, Phase.PACE.value: 1180.0, Phase.EXECUTE.value: 720.0}
    first, *_ = advise(seconds, jobs_of(5, 64, 1))
    assert first == (
        "packing 64 executions into a job instead of 1, as many as a call has, would save about 21.0 min,"
        " if the backend takes so many (63% of the wall time)"
    )


def test_trifles_are_not_worth_a_sentence() -> None:
    """Everything below 2 % of the wall time is left out, and a run without jobs gets no advice."""
    seconds = {Phase.EXECUTE.value: 990.0, Phase.POLL.value: 5.0, Phase.PACE.value: 5.0, UNATTRIBUTED: 0.0}
    assert advise(seconds, jobs_of(5, 1, 100)) == ()
    assert advise({}, []) == ()


def test_the_greatest_gain_comes_first() -> None:
    """Queue before polls, whatever the order of the phases."""
    seconds = {Phase.POLL.value: 600.0, Phase.QUEUE.value: 7_300.0, Phase.EXECUTE.value: 640.0}
    queue, poll = advise(seconds, jobs_of(5, 1, 100))
    assert queue.startswith("2.0 hours went by in the provider's queue")
    assert queue.endswith("(85% of the wall time)")
    assert poll == "jobs were done for 10.0 min before a poll saw it (7% of the wall time)"
