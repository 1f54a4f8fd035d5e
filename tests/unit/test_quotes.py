"""Quotes of batches and workloads: what is counted, what one circuit a job and SPSA would cost, what is refused."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch.backends import plan_offline
from qorch.config import read_config
from qorch.errors import CircuitError, ShotsError, UnknownNameError, UsageError
from qorch.model.circuit import GateList
from qorch.model.job import Interval, JobRequest, Usage
from qorch.model.measurement import Measurement
from qorch.model.prices.card import Certainty, Minimums, PriceCard, UnitPrices
from qorch.model.pub import Batch
from qorch.planning.pricing import Cost
from qorch.planning.quoting import quote_offline, quote_unpacked
from qorch.ports.backend import Capabilities
from qorch.ports.clock import WallClock
from qorch.run.rehearsal import rehearse
from qorch.workloads.base import Outline
from qorch.workloads.quoting import quote_workload, rehearse_workload

CARD = PriceCard(
    backends=("fake",), currency="USD", certainty=Certainty.EXACT, source="s", date=None,
    prices=UnitPrices(job=1, shot=2), minimums=Minimums(job=50),  # type: ignore[arg-type]
)  # fmt: skip

SECONDS = replace(CARD, prices=UnitPrices(second=1), minimums=Minimums())  # type: ignore[arg-type]


@dataclass(frozen=True)
class Planner:
    """An OfflinePlanner that packs ten rows into a job, each of which takes a second or more."""

    name: str = "fake"
    capabilities: Capabilities = Capabilities(4, 1000, 10, slots=1, charges=True, mixes_shots=False)  # noqa: RUF009
    assumptions: tuple[str, ...] = ("it is taken to be there",)
    most_seconds: float = 100.0

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See OfflinePlanner."""
        if gates.n_qubits > 4:
            raise CircuitError("too many qubits")

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See OfflinePlanner."""
        return 10

    def measure(self, request: JobRequest) -> Usage:
        """See OfflinePlanner."""
        shots = sum(block.n_rows * (block.shots or 0) for block in request.blocks)
        seconds = min(float(request.n_rows), self.most_seconds)
        return Usage(request.n_rows, shots, seconds=Interval(0.0, seconds, self.most_seconds))


def batch(rows: int, *, qubits: int = 1, shots: int = 10, observables: Any = ("Z0",)) -> Batch:
    """Rows of one angle on the first qubit."""
    circuit = QuantumCircuit(qubits)
    circuit.ry(ParameterVector("a", 1)[0], 0)
    pub = qorch.Pub(circuit, np.zeros((rows, 1)), observables=observables, shots=shots)
    return Batch((pub,))


def exactly(dollars: int) -> Cost:
    """An exact amount."""
    return Cost("USD", dollars * 10**6, dollars * 10**6, dollars * 10**6)


def test_a_batch_is_priced_job_by_job() -> None:
    """23 rows of 10 shots in 3 jobs of 8, 8 and 7; every basis is an execution."""
    quote = quote_offline(batch(23), Planner(), CARD, default_shots=None)
    assert (quote.jobs, quote.executions, quote.shots, quote.cost) == (3, 23, 230, exactly(463))
    bases = quote_offline(batch(23, observables=("Z0", "X0")), Planner(), CARD, default_shots=None)
    assert (bases.executions, bases.shots) == (46, 460)
    unpacked = quote_unpacked(batch(23), Planner(), CARD, default_shots=None)
    assert (unpacked.jobs, unpacked.shots, unpacked.cost) == (23, 230, exactly(23 * 50))
    assert str(quote) == "23 executions (230 shots) in 3 jobs: 463.00 USD"


def test_quotes_add_up() -> None:
    """Also those whose price is not known, or is an interval."""
    one = quote_offline(batch(23), Planner(), CARD, default_shots=None)
    assert (one + one).cost == one.times(2).cost == exactly(926)
    unknown = quote_offline(batch(1), Planner(), replace(CARD, prices=None), default_shots=None)
    assert (one + unknown).cost is None
    assert unknown.times(3).cost is None
    quote = quote_offline(batch(23), Planner(), SECONDS, default_shots=None)
    assert quote.cost == Cost("USD", 0, 23_000_000, 300_000_000)
    assert "about 23.00 USD (0.00 to 300.00 USD)" in str(quote)


def test_what_a_backend_does_not_take_is_refused() -> None:
    """Before anything is counted: too many qubits or shots, exact values."""
    with pytest.raises(CircuitError, match="too many qubits"):
        quote_offline(batch(1, qubits=5), Planner(), CARD, default_shots=None)
    with pytest.raises(ShotsError, match="fake takes at most 1000"):
        quote_offline(batch(1, shots=1001), Planner(), CARD, default_shots=None)
    with pytest.raises(ShotsError, match="no exact results"):
        quote_unpacked(batch(1, shots=None), Planner(), CARD, default_shots=None)  # type: ignore[arg-type]


def layer(gradient: str = "parameter-shift", observables: Any = ("Z0",), *, shots: Any = 10) -> qorch.QuantumLayer:
    """One input and two weights on one qubit."""
    x, w = ParameterVector("x", 1), ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(x[0], 0)
    circuit.ry(w[0], 0)
    circuit.rz(w[1], 0)
    return qorch.QuantumLayer(
        circuit,
        inputs=x,
        weights=w,
        observables=observables,
        gradient=gradient,
        shots=shots if gradient != "exact" else None,
    )


@pytest.mark.parametrize("observables", [["Z0", "X0"], qorch.probabilities()])
def test_a_rehearsal_notes_what_layers_would_execute(observables: Any) -> None:
    """Nothing is executed; outputs and gradients are zeros; forward and shifted rows are one call."""
    model, inputs = layer(observables=observables), torch.zeros(3, 1, requires_grad=True)
    with rehearse() as rehearsal:
        output = model(inputs)
        output.sum().backward()
        with torch.no_grad():
            model(inputs[:2])
    assert output.shape == (3, 2)
    assert not output.any()
    assert inputs.grad is not None
    assert not inputs.grad.any()
    training, evaluation = rehearsal.calls
    assert training.batch.n_rows == 3 * (1 + 2 * 3)
    assert training.points is not None
    assert training.points.n_rows == 3
    assert (evaluation.batch.n_rows, evaluation.points) == (2, None)


def outline(model: qorch.QuantumLayer) -> Outline:
    """Two epochs of five steps of four rows, with an evaluation of six."""

    def evaluate() -> None:
        with torch.no_grad():
            model(torch.zeros(6, 1))

    return Outline(2, 5, lambda: model(torch.zeros(4, 1)).sum().backward(), evaluate)


def test_a_workload_is_quoted_whole() -> None:
    """Steps, epochs and the run; one circuit a job, and SPSA with three rows a sample, count the evaluations, too."""
    quote = quote_workload(rehearse_workload(outline(layer())), Planner(), CARD, default_shots=None)
    assert (quote.step.executions, quote.evaluation.executions) == (4 * 5, 6)
    assert (quote.epoch.executions, quote.run.executions) == (5 * 20 + 6, 2 * 106)
    assert (quote.step.jobs, quote.run.jobs) == (2, 2 * (5 * 2 + 1))
    assert quote.run.cost == exactly(2 * (5 * 2 * 201 + 121))
    assert (quote.unpacked.jobs, quote.unpacked.cost) == (212, exactly(212 * 50))
    spsa = quote.methods["spsa"]
    assert (spsa.executions, spsa.jobs) == (2 * (5 * 12 + 6), 2 * (5 * 2 + 1))
    differences = quote.methods["finite-difference"]
    assert differences.executions == 2 * (5 * 4 * (1 + 2 * 2) + 6)
    assert set(quote.methods) == {"spsa", "finite-difference", "sampled-shift"}
    assert quote.assumptions == ("it is taken to be there",)


def test_other_methods_are_those_that_are_not_used_and_make_sense() -> None:
    """Parameter shift, where SPSA is used; exact ones on a simulator; no SPSA of exact values, which is refused."""
    local = plan_offline("local", config=read_config(), clock=WallClock())
    free = replace(CARD, prices=UnitPrices(), minimums=Minimums())

    def methods(gradient: str, *, shots: int | None = 10) -> set[str]:
        rehearsed = rehearse_workload(outline(layer(gradient, shots=shots)))
        return set(quote_workload(rehearsed, local, free, default_shots=20).methods)

    assert methods("spsa") == {"parameter-shift", "exact", "finite-difference", "sampled-shift"}
    assert methods("parameter-shift", shots=None) == {"exact", "finite-difference", "sampled-shift"}
    model = layer("spsa", shots="run")
    with pytest.raises(ShotsError, match="no sense with exact values"):
        quote_workload(rehearse_workload(outline(model)), local, free, default_shots=None)


def test_a_job_that_may_not_end_in_time_is_named() -> None:
    """If it is expected to take as long as it may, the provider would end it."""
    rehearsed = rehearse_workload(outline(layer()))
    roomy, tight = (
        quote_workload(rehearsed, Planner(most_seconds=most), SECONDS, default_shots=None) for most in (100.0, 5.0)
    )
    assert len(roomy.assumptions) == 1
    assert "jobs may need more time than they are allowed" in tight.assumptions[1]


def test_exact_gradients_are_quoted_where_they_are() -> None:
    """Elsewhere they are refused, as in a training; there are no shifts to replace."""
    rehearsed = rehearse_workload(outline(layer("exact")))
    with pytest.raises(UsageError, match="fake has no exact gradients"):
        quote_workload(rehearsed, Planner(), CARD, default_shots=None)
    local = plan_offline("local", config=read_config(), clock=WallClock())
    free = replace(CARD, prices=UnitPrices(), minimums=Minimums())
    quote = quote_workload(rehearsed, local, free, default_shots=None)
    assert (quote.step.executions, quote.run.cost, quote.methods) == (4, Cost("USD"), {})


def test_estimated_values_are_quoted_in_all_their_bases() -> None:
    """A backend that estimates gets each row once, and runs it in as many circuits as observables and noise need."""
    observables = ("Z0", "X0")
    jobs = {}
    for level in (0, 2):
        planner = plan_offline(f"ibm:ibm_fez,resilience={level}", config=read_config({}), clock=WallClock())
        jobs[level] = quote_offline(batch(23, observables=observables), planner, SECONDS, default_shots=None)
    assert (jobs[0].executions, jobs[0].shots, jobs[0].jobs) == (23, 230, 1)
    seconds = {level: quote.cost.expected_micros for level, quote in jobs.items() if quote.cost is not None}
    taken = 23 * 10 * len(observables)
    assert seconds == {0: 2_000_000 + 350 * taken, 2: 2_000_000 + 350 * taken * len((1, 3, 5))}
    counts = batch(1, observables=qorch.probabilities())
    with pytest.raises(UsageError, match="has no counts"):
        quote_offline(counts, planner, SECONDS, default_shots=None)
    with pytest.raises(ShotsError, match="take a multiple of 32"):
        quote_offline(batch(1, shots=1009), planner, SECONDS, default_shots=None)


@pytest.mark.parametrize(("mode", "is_said"), [("job", False), ("batch", False), ("session", True)])
def test_the_time_of_a_session_is_said_to_be_missing(mode: str, is_said: bool) -> None:
    """A session is charged for its time, whatever its jobs need; a quote has those of its jobs alone."""
    planner = plan_offline(f"ibm:ibm_fez,mode={mode}", config=read_config({}), clock=WallClock())
    assert any("session is charged" in sentence for sentence in planner.assumptions) == is_said


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("nonsense", UnknownNameError, "there is no backend 'nonsense'"),
        ("ionq:nonsense", UnknownNameError, "no target 'nonsense'"),
        ("braket:arn:aws:braket:us-east-1::device/qpu/acme/New", UsageError, "nothing is recorded of braket:arn"),
        ("braket:garnet,debiasing=on", UsageError, "no debiasing"),
        ("ibm:ibm_fez,nonsense=1", UnknownNameError, "nonsense"),
    ],
)
def test_a_backend_of_which_nothing_is_known_is_refused(name: str, error: type[Exception], said: str) -> None:
    """As it is where it is opened."""
    with pytest.raises(error, match=said):
        plan_offline(name, config=read_config({}), clock=WallClock())
