"""The engine without Numba, and the one for CUDA: the same programs on batches of rows as torch tensors.

Random numbers are those of the numba engine, so that histograms agree unless rounding moves a threshold past a
draw. Gradients are torch's own, backward through the same operations.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from qorch.errors import BackendError, UsageError
from qorch.model.arrays import FloatArray, UIntArray
from qorch.model.counts import Counts, concatenate_counts, smallest_unsigned
from qorch.model.samples import Samples
from qorch_providers.local.limits import TORCH_SAMPLE_QUBITS
from qorch_providers.local.observables import WeightedStrings
from qorch_providers.local.program.primitives import AXIS_X, AXIS_Y, AXIS_Z, FLIP_X
from qorch_providers.local.program.program import DIAGONAL, FLIP, GATHER, REAL_PAIR, ROTATE_PAIR, Program
from qorch_providers.local.torch_engine.philox import uniform_words

CHUNK_BYTES = 128 << 20
"""Maximum size of the states of one chunk of rows."""
_LARGEST_DRAW = 4294967295


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Raise MemoryError in place of torch's errors if the machine or the device has too little memory."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" in str(error):
            raise MemoryError(str(error)) from error
        raise


class TorchEngine:
    """See Engine."""

    def __init__(self, *, is_cuda: bool) -> None:
        """Raises UsageError if there is no CUDA device."""
        if is_cuda and not torch.cuda.is_available():
            raise UsageError("local:cuda needs a CUDA device, and torch finds none here; use local without cuda")
        self._device = torch.device("cuda" if is_cuda else "cpu")

    def take_compile_intervals(self) -> list[tuple[int, int]]:
        """See Engine: torch compiles nothing."""
        return []

    def close(self) -> None:
        """See Engine: there is nothing to release."""

    @_memory_errors()
    def sample(self, program: Program, angles: FloatArray, samples: Samples, *, scalar: npt.DTypeLike) -> Counts:
        """See Engine. Raises UsageError beyond 24 qubits."""
        if program.n_qubits > TORCH_SAMPLE_QUBITS:
            raise UsageError(f"the torch engine samples up to {TORCH_SAMPLE_QUBITS} qubits")
        pieces = []
        for rows in self._chunks(program, angles, scalar):
            with torch.no_grad():
                probabilities = self._probabilities(program, angles[rows], scalar)
            pieces.append(_sample(probabilities, samples.take(rows), n_qubits=program.n_qubits))
        return concatenate_counts(pieces) if len(pieces) > 1 else pieces[0]

    @_memory_errors()
    def evaluate(
        self, program: Program, angles: FloatArray, masks: UIntArray | None, *, scalar: npt.DTypeLike
    ) -> FloatArray:
        """See Engine."""
        pieces = []
        for rows in self._chunks(program, angles, scalar):
            with torch.no_grad():
                values = self._probabilities(program, angles[rows], scalar)
                values = values / values.sum(dim=1, keepdim=True)
            if masks is not None:
                values = _transform(values)[:, torch.as_tensor(masks.astype(np.int64), device=values.device)]
            pieces.append(values.to(torch.float64).cpu().numpy())
        return np.concatenate(pieces)

    @_memory_errors()
    def differentiate(
        self, program: Program, angles: FloatArray, strings: WeightedStrings, *, scalar: npt.DTypeLike
    ) -> FloatArray:
        """See Engine. Raises BackendError if torch finds no gradient."""
        gradients = np.zeros((len(angles), program.n_columns))
        if not program.tables.angle_columns.size:
            return gradients
        for rows in self._chunks(program, angles, scalar, copies=len(program.tables.operations) + 2):
            # A layer's backward pass calls this with torch's gradients turned off.
            with torch.inference_mode(False), torch.enable_grad():
                gradients[rows] = self._slopes(program, angles[rows], strings.take(rows), scalar)
        return gradients

    def _slopes(
        self, program: Program, angles: FloatArray, strings: WeightedStrings, scalar: npt.DTypeLike
    ) -> FloatArray:
        free = torch.tensor(angles, device=self._device, requires_grad=True)
        states = self._states(program, free, scalar)
        if not states.requires_grad:
            raise BackendError("torch did not follow the free angles of this circuit, and has no gradient of it")
        loss = _energy(states, strings)
        if not loss.requires_grad:  # constants alone
            return np.zeros_like(angles)
        (slopes,) = torch.autograd.grad(loss, free)
        return slopes.cpu().numpy()

    def _chunks(
        self, program: Program, angles: FloatArray, scalar: npt.DTypeLike, *, copies: int = 2
    ) -> Iterator[slice]:
        row_bytes = (2 * np.dtype(scalar).itemsize * copies) << program.n_qubits
        step = max(1, CHUNK_BYTES // row_bytes)
        for start in range(0, len(angles), step):
            yield slice(start, min(start + step, len(angles)))

    def _probabilities(self, program: Program, angles: FloatArray, scalar: npt.DTypeLike) -> torch.Tensor:
        states = self._states(program, torch.tensor(angles, device=self._device), scalar)
        probabilities = states.real**2 + states.imag**2
        readout = program.tables.readout
        return probabilities[:, torch.as_tensor(readout, device=self._device).long()] if len(readout) else probabilities

    def _states(self, program: Program, angles: torch.Tensor, scalar: npt.DTypeLike) -> torch.Tensor:
        """The final states ``(R, 2^n)``."""
        kind = torch.complex64 if np.dtype(scalar) == np.float32 else torch.complex128
        turns = _half_turns(program, angles)
        matrices = [_matrix(program, index, turns, kind) for index in range(len(program.tables.matrices))]
        states = torch.ones((len(angles), 1), dtype=kind, device=self._device)
        if len(program.tables.product):
            for index in program.tables.product.tolist():
                column = matrices[index][:, :, 0]
                states = (column[:, :, None] * states[:, None, :]).reshape(len(angles), -1)
        else:
            states = torch.zeros((len(angles), 1 << program.n_qubits), dtype=kind, device=self._device)
            states[:, 0] = 1.0
        for operation in program.tables.operations.tolist():
            states = _apply(program, operation, matrices, states)
        return states


def _half_turns(program: Program, angles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of every half angle, ``(R, S)`` each, in float64."""
    tables = program.tables
    whole = torch.as_tensor(tables.angle_constants, device=angles.device).expand(len(angles), -1)
    for term in range(tables.angle_columns.shape[1]):
        if angles.shape[1] == 0:
            break
        columns = torch.as_tensor(tables.angle_columns[:, term], device=angles.device).long()
        whole = whole + torch.as_tensor(tables.angle_factors[:, term], device=angles.device) * angles[:, columns]
    return torch.cos(0.5 * whole), torch.sin(0.5 * whole)


def _matrix(program: Program, index: int, turns: tuple[torch.Tensor, torch.Tensor], kind: torch.dtype) -> torch.Tensor:
    """A program's matrix for every row, ``(R, 2, 2)``."""
    _, start, stop = program.tables.matrices[index].tolist()
    rows = len(turns[0])
    product = torch.eye(2, dtype=torch.complex128, device=turns[0].device).expand(rows, 2, 2)
    for turn, operand in program.tables.turns[start:stop].tolist():
        product = _turn(turn, operand, turns) @ product
    return product.to(kind)


def _turn(turn: int, operand: int, turns: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    if turn not in (AXIS_X, AXIS_Y, AXIS_Z):
        fixed = [[0.0, 1.0], [1.0, 0.0]] if turn == FLIP_X else [[1.0, 0.0], [0.0, -1.0]]
        return torch.tensor(fixed, dtype=torch.complex128, device=turns[0].device)
    c, s = turns[0][:, operand], turns[1][:, operand]
    zero = torch.zeros_like(c)
    if turn == AXIS_X:
        entries = [torch.complex(c, zero), torch.complex(zero, -s), torch.complex(zero, -s), torch.complex(c, zero)]
    elif turn == AXIS_Y:
        entries = [torch.complex(part, zero) for part in (c, -s, s, c)]
    else:
        entries = [torch.complex(c, -s), torch.complex(zero, zero), torch.complex(zero, zero), torch.complex(c, s)]
    return torch.stack(entries, dim=1).reshape(-1, 2, 2)


def _apply(program: Program, operation: list[int], matrices: list[torch.Tensor], states: torch.Tensor) -> torch.Tensor:
    kind, first, second, matrix, other = operation[:5]
    if kind == GATHER:
        indices = torch.as_tensor(program.tables.gathers[matrix], device=states.device).long()
        return states[:, indices] * torch.as_tensor(program.tables.signs[matrix], device=states.device)
    if kind == ROTATE_PAIR:
        return _rotate_pair(states, matrices[matrix], first, second)
    if kind == REAL_PAIR:
        return _multiply(_multiply(states, matrices[matrix], first), matrices[other], second)
    if kind <= DIAGONAL:
        return _multiply(states, matrices[matrix], first)
    places = torch.arange(states.shape[1], device=states.device)
    is_on = (places & first) == first
    if kind == FLIP:
        return states[:, torch.where(is_on, places ^ second, places)]
    return torch.where(is_on, -states, states)


def _multiply(states: torch.Tensor, matrix: torch.Tensor, qubit: int) -> torch.Tensor:
    parts = states.reshape(len(states), -1, 2, 1 << qubit)
    return torch.einsum("rij,rajb->raib", matrix, parts).reshape(states.shape)


def _rotate_pair(states: torch.Tensor, matrix: torch.Tensor, x_mask: int, z_mask: int) -> torch.Tensor:
    """``c - i s P``, see ``ROTATE_PAIR``: the matrix is ``diag(c - i s, c + i s)``."""
    c, s = matrix[:, :1, 0].real, matrix[:, 1:, 1].imag
    return c * states - 1j * s * _pauli(states, x_mask, z_mask)


def _pauli(states: torch.Tensor, x_mask: int, z_mask: int) -> torch.Tensor:
    """``P psi`` with ``P |k> = i^y (-1)^|k & z_mask| |k ^ x_mask>``."""
    places = torch.arange(states.shape[1], device=states.device)
    factor = 1j ** ((x_mask & z_mask).bit_count() % 4)
    return factor * (states * _signs(places, z_mask))[:, places ^ x_mask]


def _signs(places: torch.Tensor, mask: int) -> torch.Tensor:
    signs = torch.ones_like(places)
    for qubit in range(mask.bit_length()):
        if mask >> qubit & 1:
            signs = signs * (1 - 2 * (places >> qubit & 1))
    return signs


def _transform(values: torch.Tensor) -> torch.Tensor:
    """Walsh and Hadamard's transform of the last axis."""
    stride = 1
    while stride < values.shape[1]:
        parts = values.reshape(len(values), -1, 2, stride)
        even, odd = parts[:, :, 0], parts[:, :, 1]
        values = torch.stack([even + odd, even - odd], dim=2).reshape(values.shape)
        stride *= 2
    return values


def _energy(states: torch.Tensor, strings: WeightedStrings) -> torch.Tensor:
    """The weighted sums of all rows, added up."""
    weights = torch.as_tensor(strings.weights, device=states.device)
    if strings.wants_all:
        return ((states.real**2 + states.imag**2).to(torch.float64) * weights).sum()
    energy = torch.zeros((), dtype=torch.float64, device=states.device)
    for x_mask, _, start, stop in strings.layers.tolist():
        for string in range(start, stop):
            z_mask = int(strings.z_masks[string])
            n_y = (x_mask & z_mask).bit_count()
            sign = -1.0 if n_y % 4 in (2, 3) else 1.0  # weights carry the sign of i^y, and so does _pauli
            means = (states.conj() * _pauli(states, x_mask, z_mask)).sum(dim=1).real.to(torch.float64)
            energy = energy + (sign * means * weights[:, string]).sum()
    return energy


def _sample(probabilities: torch.Tensor, samples: Samples, *, n_qubits: int) -> Counts:
    """Histograms of a chunk of rows, by the thresholds of the numba engine's sampling."""
    sums = torch.cumsum(probabilities.to(torch.float64), dim=1)
    thresholds = torch.floor(sums * (_LARGEST_DRAW / sums[:, -1:]) + 0.25).to(torch.int64)
    outcomes, counts, lengths = [], [], []
    for row in range(len(thresholds)):
        words = uniform_words(
            int(samples.streams[row]), int(samples.ordinals[row]), first_shot=samples.offset, shots=samples.shots
        )
        draws = torch.as_tensor(np.minimum(words, _LARGEST_DRAW - 1).astype(np.int64), device=thresholds.device)
        found, seen = torch.unique(torch.searchsorted(thresholds[row], draws, right=True), return_counts=True)
        outcomes.append(found.cpu().numpy())
        counts.append(seen.cpu().numpy())
        lengths.append(len(found))
    frequencies = np.concatenate(counts)
    return Counts(
        n_qubits,
        np.concatenate(outcomes).astype(smallest_unsigned((1 << n_qubits) - 1)),
        frequencies.astype(smallest_unsigned(int(frequencies.max()))),
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
    )
