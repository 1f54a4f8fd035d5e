"""Training states as bytes and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qorch.errors import RunError, UsageError
from qorch.run.checkpoint.codec import decode_state, encode_state
from qorch.run.checkpoint.random_state import capture_random_states, restore_random_states

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(-(2**70), 2**70), inner)
    ),
)


@given(plain)
def test_plain_trees_come_back(tree: object) -> None:
    """Any tree of plain values comes back equal, tuples and integer keys included."""
    assert decode_state(encode_state(tree)) == tree


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3)])
def test_tensors_keep_their_bits(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """A tensor comes back with its type, shape and exact values."""
    tensor = (torch.randn(shape) * 10).to(dtype)
    restored = decode_state(encode_state({"x": tensor}))["x"]
    assert restored.dtype == dtype
    assert restored.shape == tensor.shape
    assert torch.equal(restored, tensor)


def test_views_and_transposes_are_stored_as_they_look() -> None:
    """A tensor that is not contiguous is stored by its values."""
    tensor = torch.arange(6.0).reshape(2, 3).T
    assert torch.equal(decode_state(encode_state(tensor)), tensor)


def test_an_optimizer_continues_exactly() -> None:
    """Adam restored from bytes makes the same next step, to the bit."""

    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(torch.ones(4)).sum().backward()
        optimizer.step()

    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, amsgrad=True)
    step(model, optimizer)
    stored = encode_state([model.state_dict(), optimizer.state_dict()])
    twin = torch.nn.Linear(4, 3)
    twin_optimizer = torch.optim.Adam(twin.parameters(), lr=0.7, amsgrad=True)
    states = decode_state(stored)
    twin.load_state_dict(states[0])
    twin_optimizer.load_state_dict(states[1])
    step(model, optimizer)
    step(twin, twin_optimizer)
    assert torch.equal(model.weight, twin.weight)


def test_random_states_continue() -> None:
    """All random generators go on from where they were captured."""
    import random

    generator = torch.Generator().manual_seed(5)
    stored = encode_state(capture_random_states([generator]))

    def draw() -> list[float]:
        return [
            random.random(),
            float(np.random.random()),
            float(torch.rand(())),
            float(torch.rand((), generator=generator)),
        ]

    first = draw()
    assert draw() != first
    restore_random_states(decode_state(stored), [generator])
    assert draw() == first


def test_damage_is_found() -> None:
    """A flipped bit anywhere is refused before anything is decoded."""
    content = encode_state({"weights": torch.ones(3)})
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(RunError, match="damaged"):
            decode_state(bytes(damaged))


def test_foreign_objects_are_refused() -> None:
    """An object that is no plain value is named with its place, and nothing is encoded."""
    with pytest.raises(UsageError, match=r"state\.a\[1\] is a object"):
        encode_state({"a": [1, object()]})
    with pytest.raises(UsageError, match="set"):
        encode_state({"a": {1, 2}})


def test_arrays_come_back_writable() -> None:
    """A numpy array comes back equal and can be changed."""
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    restored = decode_state(encode_state(array))
    restored[0, 0] = 9
    assert restored.dtype == np.int16
    assert array[0, 0] == 0
