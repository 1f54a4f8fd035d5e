"""Latency profiles: what is read, written, drawn, and learned from runs."""

import datetime
from dataclasses import fields, replace

import numpy as np
import pytest

from qorch.audit.learned_profile import learn_profile
from qorch.backends import load_profile
from qorch.errors import ConfigError, UnknownNameError, UsageError
from qorch.model.identity import Position
from qorch.model.job import AttemptOutcome, JobState
from qorch.model.latency import Latency
from qorch.model.profiles.draws import CallFault, JobWork, draw_call, draw_job, end_of_closure, generator_of
from qorch.model.profiles.profile import NOT_GIVEN, ClosureFigures, FaultFigures, Profile, ShareFigure, TimeFigure
from qorch.model.profiles.reading import read_profile
from qorch.model.profiles.writer import write_profile
from qorch.model.timing import Phase, Span
from qorch.ports.records import AttemptRecord, JobRecord, RunRecord, SpanRecord

SHIPPED = ("braket-qpu", "braket-simulator", "cloud", "ibm-qpu", "ionq-qpu", "ionq-simulator")
NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
WORK = JobWork(rows=(3, 5), executions=8, shots=800)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_survives_being_written(name: str) -> None:
    """Read again it is equal, and every figure that it gives says where it comes from."""
    profile = load_profile(name)
    assert read_profile(write_profile(profile), name=name, origin="again") == profile
    given = [getattr(table, each.name) for table in (profile.latencies, profile.faults) for each in fields(table)]
    assert all(figure.source.strip() for figure in given)
    assert profile.latencies.network.source != NOT_GIVEN
    assert profile.facts.source != NOT_GIVEN


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("ionq:qpu.forte-1", "ionq-qpu"),
        ("ionq:simulator,rows=3", "ionq-simulator"),
        ("braket:garnet", "braket-qpu"),
        ("braket:arn:aws:braket:::device/quantum-simulator/amazon/sv1", "braket-simulator"),
        ("mock:ibm.ibm_fez,seed=3", "ibm-qpu"),
        ("mock:cloud", "cloud"),
    ],
)
def test_a_backend_has_one_profile(backend: str, name: str) -> None:
    """It is found by the backend's name, with options or without, and no other describes it."""
    assert load_profile(backend).name == name
    stem = backend.partition(",")[0].replace("mock:ibm.", "ibm:")
    assert [each for each in SHIPPED if load_profile(each).describes(stem)] == [name]


def test_a_profile_that_is_not_there_is_named() -> None:
    """With those that are."""
    with pytest.raises(UnknownNameError, match="no profile 'nonsense'; there are braket-qpu"):
        load_profile("nonsense")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[latencies]\nnetwrk = { seconds = "1", source = "a" }', "line 3: 'netwrk' is not known here"),
        ('[latencies]\nqueue = { seconds = "norm(1)", source = "a" }', r"line 3: 'norm\(1\)' is not a latency"),
        ('[latencies]\nqueue = { seconds = "1" }', "line 3: Object missing required field `source`"),
        ('\n[faults]\nbusy = { share = 1.5, source = "a" }', "line 4: the share of busy is 1.5"),
        ('[faults]\nbusy = { share = nan, source = "a" }', "line 3: the share of busy"),
        ('[faults]\nbusy = { share = 1, source = "a", observations = -1 }', "line 3: observations are -1"),
        ('[facts]\nsource = "a"\nat_once = 0', "line 4: at_once is 0; write 1 or more"),
        ('[facts]\nsource = "a"\nusage = ["apples"]', "line 4: Invalid enum value 'apples'"),
        ('[limits]\nsource = "a"\nmax_qubits = 0\nmax_shots = 1\nmax_rows_per_job = 1', "line 4: max_qubits is 0"),
        (
            '[closures]\nevery = { seconds = "10", source = "a" }\nlasts = { seconds = "10", source = "a" }',
            "line 2: a closure begins before the last one ends",
        ),
        ("[latencies\n", "line 2: "),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: str, complaint: str) -> None:
    """Nothing that is not known is passed over."""
    with pytest.raises(ConfigError, match=f"own.toml, {complaint}"):
        read_profile(f'description = "x"\n{text}', name="own", origin="own.toml")


def test_what_is_left_out_is_nothing() -> None:
    """No wait, no fault, no closure."""
    profile = read_profile('description = "x"', name="own", origin="own.toml")
    drawn = draw_job(profile, generator_of(1), WORK)
    assert (drawn.queue_seconds, drawn.execution_seconds, drawn.fails, drawn.lost) == (0.0, 0.0, False, ())
    assert draw_call(profile, generator_of(1), is_submission=True).fault is None
    assert end_of_closure(profile.closures, 1, 5.0) == 5.0


def test_draws_are_functions_of_their_subject() -> None:
    """Equal seeds and subjects draw the same; another seed, subject or turn draws something else."""
    profile = load_profile("ionq-qpu")
    seconds = {
        subject: draw_job(profile, generator_of(*subject), WORK).queue_seconds
        for subject in [(1, "job", "0.0.0", 0), (2, "job", "0.0.0", 0), (1, "job", "0.0.1", 0), (1, "job", "0.0.0", 1)]
    }
    assert len(set(seconds.values())) == 4
    again = draw_job(profile, generator_of(1, "job", "0.0.0", 0), WORK)
    assert again.queue_seconds == seconds[1, "job", "0.0.0", 0]


def test_faults_come_as_often_as_the_profile_says() -> None:
    """Each with its own share; of questions none is lost after an acceptance."""
    faults = FaultFigures(busy=ShareFigure(0.2), error=ShareFigure(0.1), lost_after=ShareFigure(0.3))
    profile = Profile("p", "", faults=faults)
    drawn = [draw_call(profile, generator_of(1, turn), is_submission=True).fault for turn in range(2_000)]
    for fault, share in ((CallFault.BUSY, 0.2), (CallFault.ERROR, 0.1), (CallFault.LOST_AFTER, 0.3)):
        # Six standard deviations of a binomial share.
        assert abs(drawn.count(fault) / 2_000 - share) < 6 * (share * (1 - share) / 2_000) ** 0.5
    asked = [draw_call(profile, generator_of(1, turn), is_submission=False).fault for turn in range(500)]
    assert CallFault.LOST_AFTER not in asked


def test_a_job_that_fails_in_part_keeps_some_rows() -> None:
    """The lost ones are ascending rows of their own blocks; a job of one row fails as a whole, or not at all."""
    profile = Profile("p", "", faults=FaultFigures(partly_failed=ShareFigure(1.0)))
    for turn in range(50):
        lost = draw_job(profile, generator_of(1, turn), WORK).lost
        assert 0 < sum(map(len, lost)) < 8
        for rows, n_rows in zip(lost, WORK.rows, strict=True):
            assert np.array_equal(rows, np.unique(rows))
            assert not len(rows) or 0 <= rows[0] <= rows[-1] < n_rows
    assert draw_job(profile, generator_of(1), JobWork((1,), 1, 10)).lost == ()


def test_closures_come_once_a_period() -> None:
    """Each lies within its period and takes its time; the moment of its end is open again."""
    closures = ClosureFigures(TimeFigure(Latency("constant", 1_000.0)), TimeFigure(Latency("uniform", 50.0, 100.0)))
    moments = np.arange(0.0, 10_000.0, 2.0)
    ends = np.array([end_of_closure(closures, 7, float(at)) for at in moments])
    is_closed = ends > moments
    assert len(np.unique(ends[is_closed])) == 10
    assert 500 <= 2.0 * is_closed.sum() <= 1_020
    assert all(end_of_closure(closures, 7, float(end)) == end for end in np.unique(ends[is_closed]))


class FilledHistory:
    """Runs of jobs whose every time is known. ``sizes``: executions of each job."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """One a size; the last one failed."""
        states = [JobState.DONE] * (len(self.sizes) - 1) + [JobState.FAILED]
        return [
            JobRecord(f"{run_id}/0.0.{index}", str(run_id), Position(0, 0), each, size, 100, NOW, provider_id="p")
            for index, (size, each) in enumerate(zip(self.sizes, states, strict=True))
        ]

    def attempts(self, job_id: str) -> list[AttemptRecord]:
        """The first job was refused once."""
        outcomes = [AttemptOutcome.REFUSED] * job_id.endswith(".0") + [AttemptOutcome.ACCEPTED]
        return [AttemptRecord(job_id, index, "k", NOW, outcome) for index, outcome in enumerate(outcomes)]

    def spans(self, run_id: str) -> list[SpanRecord]:
        """A call takes 0.1 s, a submission 0.3 s, the queue 20 s, and an execution 2 s and 0.5 s for each row."""
        return [
            SpanRecord(run_id, 0, Span(phase, 0, round(seconds * 1e9), job_id=f"{run_id}/0.0.{index}"))
            for index, size in enumerate(self.sizes)
            for phase, seconds in (
                (Phase.SUBMIT, 0.3), (Phase.TRANSFER, 0.1), (Phase.QUEUE, 20.0), (Phase.EXECUTE, 2.0 + 0.5 * size),
            )
        ]  # fmt: skip


def run_of(backend: str) -> RunRecord:
    """A run there."""
    return RunRecord("r", "r", backend, 1, "resume", NOW)


def test_a_profile_is_learned_from_what_was_measured() -> None:
    """Medians, what an execution adds, and shares, each of so many observations; the rest is the base's."""
    base = load_profile("ionq-qpu")
    learned = learn_profile(FilledHistory([1, 5, 20, 40]), [run_of("ionq:qpu.forte-1,rows=40")], base)
    times, faults = learned.latencies, learned.faults
    assert str(times.network.seconds) == "0.1"
    assert times.acceptance.seconds.first == pytest.approx(0.2)
    assert times.queue.seconds.first == pytest.approx(20.0)
    assert times.per_execution.seconds.first == pytest.approx(0.5)
    assert times.execution.seconds.first == pytest.approx(2.0)
    assert (times.network.observations, times.queue.observations) == (8, 4)
    assert (faults.busy.share, faults.busy.observations) == (0.2, 5)
    assert (faults.failed.share, faults.failed.observations) == (0.25, 4)
    assert times.silence == base.latencies.silence
    assert learned.facts == base.facts
    assert learned.describes("ionq:qpu.forte-1")
    assert read_profile(write_profile(learned), name="learned", origin="") == learned


def test_a_fetch_of_several_requests_is_no_call() -> None:
    """Where a run has counted its requests, a call is a part of a fetch; what is left of the fetch comes with it."""
    run = replace(run_of("ionq:simulator"), summary='{"calls": {"fetch": 8}}')
    times = learn_profile(FilledHistory([1, 5, 20, 40]), [run], load_profile("ionq-simulator")).latencies
    assert str(times.network.seconds) == "0.05"
    assert times.result.seconds.first == pytest.approx(0.05)
    assert times.acceptance.seconds.first == pytest.approx(0.25)


def test_jobs_of_one_size_tell_nothing_of_an_execution() -> None:
    """All of the time is then that of a job, and its source says so."""
    learned = learn_profile(FilledHistory([4, 4, 4]), [run_of("ionq:qpu.forte-1")], load_profile("ionq-qpu"))
    assert learned.latencies.execution.seconds.first == pytest.approx(4.0)
    assert learned.latencies.per_execution.seconds == Latency()
    assert "not told apart" in learned.latencies.per_execution.source


def test_nothing_is_learned_of_nothing() -> None:
    """Runs on different backends, and runs without a job at a provider, are refused."""
    base = load_profile("ionq-qpu")
    with pytest.raises(UsageError, match="runs of one backend"):
        learn_profile(FilledHistory([1]), [run_of("ionq:simulator"), run_of("ionq:qpu.forte-1")], base)
    with pytest.raises(UsageError, match="nothing to learn"):
        learn_profile(_NoJobs([1]), [run_of("ionq:simulator")], base)


class _NoJobs(FilledHistory):
    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """None."""
        return []
