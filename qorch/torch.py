"""`QuantumLayer`: a circuit as a torch module whose gradients are measured on the run's backend."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch

from qorch.errors import ParameterError, UsageError
from qorch.gradients.methods import GRADIENTS, as_method
from qorch.gradients.recombination import Gradient
from qorch.limits import check_exact_gradients
from qorch.model.arrays import FloatArray
from qorch.model.circuit import Circuit
from qorch.model.kinds import check_kind
from qorch.model.observable import Distribution, Observables, ObservablesLike, as_observables
from qorch.model.pub import CircuitLike, Pub, Shots, as_circuit, as_shots
from qorch.model.result import PubResult
from qorch.ports.backend import Backend
from qorch.run.active import PubExecutor, active_run, find_active
from qorch.run.evaluation import Evaluation, EvaluationShots, evaluate_on
from qorch.run.run import Run

Initial = torch.Tensor | npt.ArrayLike | Callable[[torch.Tensor], Any]
"""Weights ``(W,)``, or a function that fills them in place as those of ``torch.nn.init`` do, or returns them."""

MAX_SEARCHED_NODES = 10_000


@dataclass(eq=False)
class _Forward:
    """One forward pass whose backward pass may come: what it executed, and what is still to be executed.

    ``previous`` is the pass of the same layer that its inputs depend on, in a recurrent network.
    """

    run: PubExecutor
    layer: "QuantumLayer"
    pub: Pub
    wanted: npt.NDArray[np.bool_]
    gradient: Gradient | None = None
    previous: "_Forward | None" = field(default=None)

    def jacobian(self) -> FloatArray:
        """``(N, K, P)``; executes the shifts of this pass and of all passes before it, as one batch, once."""
        if self.gradient is None:
            pending = [item for item in self._chain() if item.gradient is None]
            gradients = self.run.gradients(
                [item.pub for item in pending], [item.wanted for item in pending], method=self.layer.gradient
            )
            for item, gradient in zip(pending, gradients, strict=True):
                item.gradient = gradient
        if self.gradient is None:
            raise UsageError("the backward pass of this layer has no gradient")
        self.layer.last_gradient = self.gradient
        return self.gradient.values

    def _chain(self) -> "list[_Forward]":
        chain: list[_Forward] = []
        item: _Forward | None = self
        while item is not None:
            chain.append(item)
            item = item.previous
        return chain[::-1]


class _Expectations(torch.autograd.Function):
    """Expectation values as a differentiable function of inputs and weights."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weights: torch.Tensor, values: torch.Tensor, record: _Forward
    ) -> torch.Tensor:
        """``values (N, K)`` were measured already, for these inputs ``(N, I)`` and weights ``(W,)``."""
        ctx.record = record
        ctx.n_inputs = inputs.shape[1]
        ctx.save_for_backward(inputs, weights)
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients by inputs and weights, from the measured Jacobian of the wanted columns."""
        inputs, weights = ctx.saved_tensors
        record: _Forward = ctx.record
        columns = record.layer._pull_back(record, cotangents[0])
        by_input = columns[:, : ctx.n_inputs].to(inputs.dtype) if ctx.needs_input_grad[0] else None
        by_weight = columns[:, ctx.n_inputs :].sum(dim=0).to(weights.dtype) if ctx.needs_input_grad[1] else None
        if torch.is_grad_enabled():  # create_graph=True: numbers without a graph would count as constants
            by_input, by_weight = (_only_once(part, inputs, weights, *cotangents) for part in (by_input, by_weight))
        return by_input, by_weight, None, None


def _only_once(gradient: torch.Tensor | None, *sources: torch.Tensor) -> torch.Tensor | None:
    return None if gradient is None else cast("torch.Tensor", _Final.apply(gradient, *sources))  # type: ignore[no-untyped-call]


class _Final(torch.autograd.Function):
    """A gradient that depends on ``sources`` in an unknown way: to differentiate it again is an error."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, *sources: torch.Tensor) -> torch.Tensor:
        """The gradient as it is."""
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Raise UsageError."""
        raise UsageError(
            "a QuantumLayer has first derivatives only; take no gradient of its gradient, or detach the gradient first"
        )


class QuantumLayer(torch.nn.Module):
    """A parametrised circuit as a layer: inputs ``(…, I)`` to expectation values ``(…, K)``.

    ``inputs`` and ``weights`` name the circuit's parameters (Qiskit parameters, a ParameterVector, or their names),
    which together are all of them. The weights are one ``torch.nn.Parameter`` of shape ``(W,)``. ``initial``: their
    first values in radians, or a function such as ``torch.nn.init.zeros_`` that fills them; by default they are
    uniform in ±π from torch's random state. ``shots``: None is exact, ``"run"`` the run's own.
    ``gradient``: the method by name, with its options: ``"parameter-shift"``, ``"exact"`` if the backend offers it,
    ``"spsa:directions=4,c=0.1"``, ``"finite-difference:step=0.5"`` or ``"sampled-shift:share=0.25"``.

    The layer executes in the run that is active, or in ``run``. To evaluate it without a run, see ``eval_on``.

    Where a gradient will be needed, the forward rows and the shifted ones leave as one batch, so that a step costs
    one round trip; ``eager=False`` turns that off. A pass whose inputs depend on an earlier pass of the same layer
    (a recurrent network) executes its forward rows alone, and all shifts of the sequence leave as one batch when
    the backward pass begins. ``last_gradient`` keeps the values and standard errors of the newest gradient.

    Pickles, ``torch.save`` and copies leave out the results of the last pass; a pickle also leaves out ``run``.

    Raises CircuitError, ObservableError, ShotsError, ParameterError or UsageError at construction.
    """

    def __init__(
        self,
        circuit: CircuitLike,
        *,
        inputs: Iterable[Any] = (),
        weights: Iterable[Any] = (),
        observables: ObservablesLike,
        initial: Initial | None = None,
        shots: Shots = "run",
        gradient: str = GRADIENTS[0],
        eager: bool = True,
        run: Run | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Compile the circuit and check that everything fits; nothing is executed."""
        super().__init__()
        method = as_method(gradient)
        check_kind(eager, bool, "eager", wanted="True or False")
        check_kind(run, Run | None, "run", wanted="a run, or leave it out")
        self.circuit: Circuit = as_circuit(circuit)
        self.observables: Observables = as_observables(observables, n_qubits=self.circuit.n_qubits)
        if not self.observables:
            raise UsageError("a layer needs observables, such as ['Z0', 'Z1']")
        self.shots: Shots = as_shots(shots)
        if self.shots is None:
            method.check_shots(None)
        self.gradient = gradient
        self.eager = eager
        self.last_gradient: Gradient | None = None
        self.last_result: PubResult | None = None
        self._run = run
        input_names, weight_names = _names(inputs), _names(weights)
        self._columns = _columns(self.circuit.parameters, input_names, weight_names)
        self.n_inputs = len(input_names)
        self.weights = torch.nn.Parameter(_first_weights(initial, len(weight_names), dtype))

    @property
    def n_outputs(self) -> int:
        """K: the number of observables, or 2^n for ``qorch.probabilities()``."""
        return 1 << self.circuit.n_qubits if isinstance(self.observables, Distribution) else len(self.observables)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return (
            f"{self.circuit.n_qubits} qubits, {self.n_inputs} inputs, {self.weights.numel()} weights,"
            f" shots={self.shots}, gradient={self.gradient!r}"
        )

    @staticmethod
    def eval_on(
        backend: str | Backend, *, shots: EvaluationShots = "layer", seed: int | None = None
    ) -> AbstractContextManager[Evaluation]:
        """Inside of ``with layer.eval_on("local"):`` layers execute on this backend, without a run.

        That holds for every QuantumLayer that is called there, also if a run is active; ``QuantumLayer.eval_on`` is the
        same. Nothing is recorded, so the backend must be free and of this machine. ``shots``: a number for all
        layers, None for exact values, or ``"layer"`` for each layer's own (exact if that is the run's). ``seed``: of
        the samples. Circuits of gradients are executed only when ``backward`` is called, inside of the block.

        Entering raises UsageError for a backend that charges or runs jobs at a provider, and ShotsError.
        """
        return evaluate_on(backend, shots=shots, seed=seed)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: neither the results of the last pass nor the run, which is of this process."""
        return self.__dict__ | {"last_gradient": None, "last_result": None, "_run": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A layer with weights of its own, in the same run."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__getstate__() | {"_run": self._run}, memo))
        return twin

    def forward(self, inputs: torch.Tensor | None = None, *more: torch.Tensor) -> torch.Tensor:
        """Expectation values ``(…, K)`` for inputs ``(…, I)``, on their device and in their dtype.

        ``more``: the inputs may also come as several tensors, ``(…, I_1)``, ``(…, I_2)`` and so on. Only the circuits
        for those that require gradients are executed: none for data beside a hidden state.

        Inputs of whole numbers are cast to torch's default dtype. Without rows nothing is executed, and the output has
        none. A layer without inputs takes none and gives ``(K,)``. Raises UsageError for another shape.
        """
        if torch.compiler.is_compiling():
            # It cannot look into a run. A decorator would do the same, and import the compiler, which takes seconds.
            return cast("torch.Tensor", torch.compiler.disable(self._expect)(inputs, *more))  # type: ignore[no-untyped-call]
        return self._expect(inputs, *more)

    def _expect(self, *parts: torch.Tensor | None) -> torch.Tensor:
        inputs = _join(parts) if len(parts) > 1 else parts[0]
        rows = self._as_rows(inputs)
        batch_shape = () if inputs is None else inputs.shape[:-1]
        if not len(rows):
            return self._no_rows(rows).reshape(*batch_shape, self.n_outputs)
        varied = [np.full(part.shape[-1], part.requires_grad) for part in parts if part is not None]
        record = self._record(rows, np.concatenate(varied or [np.zeros(0, dtype=bool)]))
        values = self._measure(record)
        tensor = torch.as_tensor(np.array(values)).to(device=rows.device, dtype=rows.dtype)
        output = cast("torch.Tensor", _Expectations.apply(rows, self.weights, tensor, record))  # type: ignore[no-untyped-call]
        return output.reshape(*batch_shape, values.shape[1])

    def _as_rows(self, inputs: torch.Tensor | None) -> torch.Tensor:
        if inputs is None and self.n_inputs == 0:
            return self.weights.new_zeros((1, 0))
        if inputs is not None and not isinstance(inputs, torch.Tensor):
            raise UsageError(f"the layer got a {type(inputs).__name__}; it takes a tensor: use torch.as_tensor")
        if inputs is None or inputs.ndim == 0 or inputs.shape[-1] != self.n_inputs:
            shape = "nothing" if inputs is None else tuple(inputs.shape)
            raise UsageError(f"the layer got inputs of shape {shape}; the last dimension must be {self.n_inputs}")
        if inputs.is_complex():
            raise UsageError(f"the layer got inputs of {inputs.dtype}; they must be real numbers")
        if not inputs.is_floating_point():
            inputs = inputs.to(torch.get_default_dtype())
        return inputs.reshape(math.prod(inputs.shape[:-1]), self.n_inputs)

    def _no_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """``(0, K)``, whose gradients by inputs and weights are 0."""
        nothing = 0.0 * (rows.sum() + self.weights.sum().to(device=rows.device, dtype=rows.dtype))
        return rows.new_zeros((0, self.n_outputs)) + nothing

    def _record(self, rows: torch.Tensor, varied: npt.NDArray[np.bool_]) -> _Forward:
        """``varied (I,)``: which inputs require gradients."""
        parts = np.concatenate(
            [
                rows.detach().cpu().double().numpy(),
                np.tile(self.weights.detach().cpu().double().numpy(), (len(rows), 1)),
            ],
            axis=1,
        )
        values = np.empty_like(parts)
        values[:, self._columns] = parts
        wanted = np.zeros(len(self._columns), dtype=bool)
        wanted[self._columns[: self.n_inputs]] = varied
        wanted[self._columns[self.n_inputs :]] = self.weights.requires_grad
        pub = Pub(self.circuit, values, observables=self.observables, shots=self.shots)
        previous = _find_previous(rows, self) if torch.is_grad_enabled() else None
        return _Forward(run=self._executor(), layer=self, pub=pub, wanted=wanted, previous=previous)

    def _executor(self) -> PubExecutor:
        active = find_active()
        if isinstance(active, Evaluation):
            return active
        return self._run if self._run is not None else active_run()

    def _measure(self, record: _Forward) -> FloatArray:
        needs_gradient = torch.is_grad_enabled() and bool(record.wanted.any())
        if needs_gradient and self.gradient == "exact":
            # Now, and not in the backward pass: by then the forward pass is bought.
            check_exact_gradients(record.run.backend)
        is_eager = (
            self.eager
            and self.gradient != "exact"
            and record.previous is None
            and not isinstance(record.run, Evaluation)
        )
        if needs_gradient and is_eager:
            record.gradient = record.run.gradients([record.pub], [record.wanted], method=self.gradient)[0]
            self.last_result = record.gradient.forward
        else:
            self.last_result = record.run.execute(record.pub)[0]
        return self.last_result.values

    def _pull_back(self, record: _Forward, cotangents: torch.Tensor) -> torch.Tensor:
        """Cotangents ``(N, K)`` times the Jacobian: ``(N, I + W)``, inputs first."""
        weights = cotangents.detach().cpu().double().numpy()
        by_parameter = np.zeros_like(record.pub.parameter_values)
        if self.gradient == "exact":
            by_parameter = record.run.exact_vjp(record.pub, weights)
        else:
            by_parameter[:, record.wanted] = np.einsum("nk,nkp->np", weights, record.jacobian())
        return torch.as_tensor(by_parameter[:, self._columns]).to(cotangents.device)


def _first_weights(initial: Initial | None, width: int, dtype: torch.dtype | None) -> torch.Tensor:
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise UsageError(f"dtype is {dtype!r}; weights are real numbers, such as torch.float64")
    weights = torch.empty(width, dtype=dtype)
    if initial is None:
        return weights.uniform_(-math.pi, math.pi)
    try:
        with torch.no_grad():
            given = initial(weights) if callable(initial) else torch.as_tensor(initial)
            if given is None or given is weights:
                given = weights
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(f"initial does not give {width} weights: {error}") from error
    if not isinstance(given, torch.Tensor) or given.shape != (width,) or given.is_complex():
        shape = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        raise ParameterError(f"initial gives weights of shape {shape}; the layer has {width} real weights, ({width},)")
    if not torch.isfinite(given).all():
        raise ParameterError("initial gives weights that are not finite")
    return given if given is weights else weights.copy_(given.detach())


def _join(parts: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Inputs that come as several tensors, as one. Raises UsageError."""
    try:
        return torch.cat([part for part in parts if part is not None], dim=-1)
    except (TypeError, RuntimeError, IndexError) as error:
        shapes = ", ".join(str(tuple(part.shape) if isinstance(part, torch.Tensor) else part) for part in parts)
        raise UsageError(
            f"the layer got inputs of shapes {shapes}; tensors given together may differ in the last dimension only"
        ) from error


def _names(parameters: Iterable[Any]) -> tuple[str, ...]:
    if isinstance(parameters, str):
        return (parameters,)
    try:
        return tuple(item if isinstance(item, str) else str(item.name) for item in parameters)
    except (TypeError, AttributeError) as error:
        raise UsageError(
            f"inputs and weights are lists of parameters or of their names, such as [x[0], 'phi']: {error}"
        ) from error


def _columns(parameters: Sequence[str], inputs: Sequence[str], weights: Sequence[str]) -> npt.NDArray[np.int64]:
    """For each input, then each weight, its column among the circuit's parameters."""
    places = {name: index for index, name in enumerate(parameters)}
    names = [*inputs, *weights]
    unknown = [name for name in names if name not in places]
    unbound = [name for name in parameters if name not in names]
    if unknown:
        raise UsageError(f"the circuit has no parameter '{unknown[0]}'; it has {', '.join(parameters)}")
    if unbound:
        raise UsageError(f"parameter '{unbound[0]}' of the circuit is neither among inputs nor weights")
    if len(set(names)) != len(names):
        raise UsageError("a parameter is named twice among inputs and weights")
    return np.array([places[name] for name in names], dtype=np.int64)


def _find_previous(rows: torch.Tensor, layer: QuantumLayer) -> _Forward | None:
    """The nearest pass of the same layer that these inputs were computed from."""
    waiting: list[Any] = [rows.grad_fn] if rows.grad_fn is not None else []
    seen: set[Any] = set()
    while waiting and len(seen) < MAX_SEARCHED_NODES:
        node = waiting.pop(0)
        if node in seen:
            continue
        seen.add(node)
        record = getattr(node, "record", None)
        if isinstance(record, _Forward) and record.layer is layer:
            return record
        waiting += [parent for parent, _ in node.next_functions if parent is not None]
    return None
