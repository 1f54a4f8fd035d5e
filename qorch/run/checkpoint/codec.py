"""Training states as bytes, without pickle: state_dicts, tensors, random states; and back."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from qorch.errors import RunError, UsageError

Tree = Any
"""Nested dicts, lists and tuples of None, booleans, numbers, strings, bytes, numpy arrays and tensors."""

_TAG = "__qorch__"


def encode_state(tree: Tree) -> bytes:
    """Encode a tree; tensors and arrays keep their exact bits. Raises UsageError for any other object in it."""
    body = msgspec.msgpack.encode(_flatten(tree, "state"))
    return hashlib.sha256(body).digest() + body


def decode_state(content: bytes) -> Tree:
    """The tree that was encoded; tensors come back on the CPU. Raises RunError if the bytes were changed."""
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        raise RunError("the checkpoint is damaged: its checksum does not match")
    return _restore(msgspec.msgpack.decode(body))


def _flatten(item: Tree, path: str) -> Tree:
    if item is None or isinstance(item, bool | str | bytes | float):
        return item
    if isinstance(item, int):
        return {_TAG: "int", "value": str(item)} if item.bit_length() > 62 else item
    if isinstance(item, np.ndarray):
        return {_TAG: "array", "dtype": item.dtype.str, "shape": list(item.shape), "data": item.tobytes()}
    if isinstance(item, np.generic):
        return _flatten(item.item(), path)
    if isinstance(item, dict):
        pairs = [[_flatten(key, path), _flatten(value, f"{path}.{key}")] for key, value in item.items()]
        return {_TAG: "dict", "pairs": pairs}
    if isinstance(item, list | tuple):
        entries = [_flatten(entry, f"{path}[{index}]") for index, entry in enumerate(item)]
        return entries if isinstance(item, list) else {_TAG: "tuple", "items": entries}
    return _flatten_tensor(item, path)


def _flatten_tensor(item: Tree, path: str) -> Tree:
    if not (hasattr(item, "detach") and hasattr(item, "numel")):
        raise UsageError(
            f"{path} is a {type(item).__name__}; a checkpoint holds numbers, strings, lists, dicts, arrays and tensors"
        )
    import torch

    flat = item.detach().cpu().contiguous().reshape(-1)
    name = str(flat.dtype).removeprefix("torch.")
    data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return {_TAG: "tensor", "dtype": name, "shape": list(item.shape), "data": data}


def _restore(item: Tree) -> Tree:
    if isinstance(item, list):
        return [_restore(entry) for entry in item]
    if isinstance(item, dict):
        return _RESTORERS[item[_TAG]](item)
    return item


def _restore_array(item: Tree) -> Tree:
    return np.frombuffer(item["data"], dtype=item["dtype"]).reshape(item["shape"]).copy()


def _restore_tensor(item: Tree) -> Tree:
    import torch

    dtype = getattr(torch, item["dtype"])
    if not item["data"]:
        return torch.zeros(item["shape"], dtype=dtype)
    flat = torch.frombuffer(bytearray(item["data"]), dtype=torch.uint8).view(dtype)
    return flat.reshape(item["shape"]).clone()


_RESTORERS: dict[str, Callable[[Tree], Tree]] = {
    "int": lambda item: int(item["value"]),
    "array": _restore_array,
    "tensor": _restore_tensor,
    "tuple": lambda item: tuple(_restore(entry) for entry in item["items"]),
    "dict": lambda item: {_restore(key): _restore(value) for key, value in item["pairs"]},
}
