"""`qorch.SPSA`: Spall's gains, two evaluations a step, blocking, and training that resumes to the bit."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch import wiring
from qorch.errors import UsageError
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.run.checkpoint.codec import decode_state, encode_state
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

MINIMUM = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


class CrashError(Exception):
    """Ends a training in the middle."""


def make_weights() -> torch.nn.Parameter:
    """Three weights at 0."""
    return torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))


def bowl(weights: torch.Tensor, seen: list[torch.Tensor] | None = None) -> torch.Tensor:
    """A quadratic loss; keeps where it was evaluated."""
    if seen is not None:
        seen.append(weights.detach().clone())
    return ((weights - MINIMUM) ** 2).sum()


def test_a_step_is_spalls() -> None:
    """Two points at ±c_k along one direction, and a move of a_k times their slope, at every step k."""
    weights = make_weights()
    seen: list[torch.Tensor] = []
    optimizer = qorch.SPSA([weights], lr=0.3, c=0.1, stability=2.0, alpha=0.5, gamma=0.25, seed=4)
    for k in range(3):
        start, seen[:] = weights.detach().clone(), []
        loss = optimizer.step(lambda: bowl(weights, seen))
        (above, below), size = seen, 0.1 / (k + 1) ** 0.25
        direction = (above - start) / size
        torch.testing.assert_close(direction.abs(), torch.ones(3, dtype=torch.float64))
        torch.testing.assert_close(start - below, above - start)
        slope = (bowl(above) - bowl(below)) / (2 * size) * direction
        torch.testing.assert_close(weights.detach(), start - 0.3 / (k + 1 + 2.0) ** 0.5 * slope)
        assert loss == pytest.approx(float(bowl(above) + bowl(below)) / 2)


def test_directions_are_averaged() -> None:
    """With many, the first step is along the gradient, up to the noise of the others."""
    weights = make_weights()
    seen: list[torch.Tensor] = []
    optimizer = qorch.SPSA([weights], lr=0.1, stability=0.0, directions=300)
    optimizer.step(lambda: bowl(weights, seen))
    assert len(seen) == 600
    torch.testing.assert_close(weights.detach(), 0.2 * MINIMUM, atol=0.1, rtol=0)


def test_it_finds_a_minimum() -> None:
    """Without gradients, from two evaluations a step; groups of parameters have gains of their own."""
    weights, fixed = make_weights(), make_weights()
    fixed.requires_grad_(False)
    scale = torch.nn.Parameter(torch.ones((), dtype=torch.float32))
    optimizer = qorch.SPSA([{"params": [weights, fixed]}, {"params": [scale], "lr": 0.3, "c": 0.05}], lr=0.5)
    for _ in range(300):
        optimizer.step(lambda: bowl(weights * scale) + bowl(fixed))
    assert float(bowl(weights * scale).detach()) < 1e-2
    assert not fixed.any()
    assert scale.dtype == torch.float32


def test_a_step_that_raises_the_loss_is_blocked() -> None:
    """By more than the tolerance, against a loss of the same data; what was tried is taken back to the bit."""
    weights = make_weights()
    optimizer = qorch.SPSA([weights], lr=100.0, blocking=0.5)
    seen: list[torch.Tensor] = []
    loss = optimizer.step(lambda: bowl(weights, seen))
    assert len(seen) == 4
    assert not weights.any()
    assert loss == float(bowl(weights.detach()))
    bold = qorch.SPSA([weights], lr=100.0, blocking=1e9)
    assert bold.step(lambda: bowl(weights)) == float(bowl(weights.detach())) > loss
    assert optimizer.param_groups[0]["k"] == 1


def test_an_error_leaves_the_weights_as_they_were() -> None:
    """Whatever the closure raises, and a loss that is not finite, which is an error with what to do."""
    weights = make_weights()
    optimizer = qorch.SPSA([weights])

    def fail() -> float:
        raise CrashError

    with pytest.raises(CrashError):
        optimizer.step(fail)
    with pytest.raises(UsageError, match="the loss is nan"):
        optimizer.step(lambda: float("nan"))
    with pytest.raises(UsageError, match=r"optimizer.step\(closure\)"):
        optimizer.step()
    assert not weights.any()
    assert optimizer.param_groups[0]["k"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": 0.0}, "lr is 0.0; it must be a finite number above 0"),
        ({"c": -1.0}, "c is -1.0"),
        ({"alpha": float("nan")}, "alpha is nan; it must be a finite number, 0 or above"),
        ({"directions": 0}, "directions is 0; it must be from 1"),
        ({"blocking": -1.0}, "blocking is -1.0"),
        ({"seed": 1.5}, "seed is 1.5"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    """One sentence each."""
    with pytest.raises(UsageError) as caught:
        qorch.SPSA([make_weights()], **options)
    assert words in str(caught.value)


def test_a_scheduler_moves_its_learning_rate() -> None:
    """``lr`` is Spall's a, under the name by which torch's schedulers know it."""
    weights = make_weights()
    optimizer = qorch.SPSA([weights], lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    optimizer.step(lambda: bowl(weights))
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_its_state_goes_on_to_the_bit() -> None:
    """``state_dict``, through qorch's codec, has all that decides the next steps."""
    first = make_weights()
    optimizer = qorch.SPSA([first], seed=9, directions=2)
    for _ in range(3):
        optimizer.step(lambda: bowl(first))
    second = copy.deepcopy(first)
    again = qorch.SPSA([second], seed=1)
    again.load_state_dict(decode_state(encode_state(optimizer.state_dict())))
    for _ in range(3):
        optimizer.step(lambda: bowl(first))
        again.step(lambda: bowl(second))
    assert torch.equal(first, second)


def train(store: MemoryStore, *, resume: bool = False, crash_at: int | None = None) -> tuple[bytes, int]:
    """Four steps of a layer with a linear head; the weights, and the rows executed."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.ry(x[qubit], qubit)
        circuit.rx(w[qubit], qubit)
    circuit.cx(0, 1)
    torch.manual_seed(2)
    layer = qorch.QuantumLayer(circuit, inputs=x, weights=w, observables=["Z0", "Z1"], shots=50)
    model = torch.nn.Sequential(layer, torch.nn.Linear(2, 1))
    optimizer = qorch.SPSA(model.parameters(), seed=6)
    data = torch.utils.data.TensorDataset(torch.rand(8, 2))
    backend = FakeBackend()
    with qorch.start_run("spsa", backend=backend, db=store, seed=5, progress=lambda _: None, resume=resume) as run:
        for (batch,) in run.steps(torch.utils.data.DataLoader(data, batch_size=2), save=(model, optimizer)):
            loss = optimizer.step(lambda batch=batch: (model(batch) ** 2).mean())  # type: ignore[misc]
            if run.current_step == crash_at:
                raise CrashError
            run.log(loss=loss)
    return encode_state(model.state_dict()), backend.n_rows


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_resumed_training_is_bit_equal(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a checkpoint after each step and with none, no row is executed again; each evaluation is forward rows."""
    monkeypatch.setattr(wiring, "RunPolicy", partial(RunPolicy, checkpoint_seconds=seconds))
    whole, rows = train(MemoryStore(WallClock()))
    assert rows == 4 * 2 * 2
    store = MemoryStore(WallClock())
    with pytest.raises(CrashError):
        train(store, crash_at=2)
    resumed, after = train(store, resume=True)
    assert resumed == whole
    assert after == 4 * 1
