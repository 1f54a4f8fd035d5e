"""What travels between the pool and its workers: length-prefixed frames of a msgpack header and raw arrays.

A frame is the prefix (magic, header bytes, body bytes; little endian), the header, then the arrays one after
the other, each padded to 8 bytes. Nothing is pickled, and lengths are bounded before anything is allocated.
"""

import re
import struct
from collections.abc import Sequence

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray

PREFIX = struct.Struct("<4sIQ")
MAX_HEADER_BYTES = 1 << 24
MAX_BODY_BYTES = 1 << 34
_MAGIC = b"QAF1"
_ALIGNMENT = 8
_TYPE_CODE = re.compile(r"[<>|=]?[uif][1248]")

Buffer = bytes | memoryview


class GatesSpec(msgspec.Struct, frozen=True):
    """A gate list that the worker has to keep; its four arrays follow in the order of their fields."""

    digest: bytes
    n_qubits: int


class BlockSpec(msgspec.Struct, frozen=True):
    """A block of rows; its arrays are basis, angles, with ``shots`` streams and ordinals, with ``has_masks`` masks."""

    gates: bytes
    has_masks: bool
    shots: int | None
    offset: int


class RunJob(msgspec.Struct, frozen=True, tag="run"):
    """To the worker: forget and learn gate lists, then execute the blocks."""

    job_id: str
    threads: int
    forget: tuple[bytes, ...]
    learn: tuple[GatesSpec, ...]
    blocks: tuple[BlockSpec, ...]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """From the worker: everything is imported."""


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """From the worker: per block ``counts`` (arrays outcomes, counts, offsets) or ``values`` (one array)."""

    job_id: str
    kinds: tuple[str, ...]
    started_ns: int
    ended_ns: int


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """From the worker: the job cannot be executed, and why."""

    job_id: str
    message: str


Message = RunJob | Ready | Answer | Failure


class _Header(msgspec.Struct, frozen=True):
    message: Message
    arrays: tuple[tuple[str, tuple[int, ...]], ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Header)


def encode_frame(message: Message, arrays: Sequence[AnyArray] = ()) -> list[Buffer]:
    """The frame in pieces; the arrays are not copied where they are contiguous already."""
    contiguous = [np.ascontiguousarray(array) for array in arrays]
    header = _encoder.encode(_Header(message, tuple((array.dtype.str, array.shape) for array in contiguous)))
    body: list[Buffer] = []
    for array in contiguous:
        body.append(array.reshape(-1).view(np.uint8).data)
        body.append(bytes(-array.nbytes % _ALIGNMENT))
    return [PREFIX.pack(_MAGIC, len(header), sum(len(piece) for piece in body)), header, *body]


def read_prefix(prefix: bytes) -> tuple[int, int]:
    """Header and body length of the frame that begins so. Raises InvalidResultError where none does."""
    magic, header_bytes, body_bytes = PREFIX.unpack(prefix)
    if magic != _MAGIC or header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise InvalidResultError(
            f"expected a frame of the aer worker, found {prefix.hex()}; something else wrote into its pipe"
        )
    return int(header_bytes), int(body_bytes)


def decode_frame(content: bytes | memoryview) -> tuple[Message, list[AnyArray]]:
    """Message and arrays (views of ``content``) of a whole frame. Raises InvalidResultError if it is damaged."""
    view = memoryview(content)
    try:
        header_bytes, body_bytes = read_prefix(bytes(view[: PREFIX.size]))
        header = _decoder.decode(view[PREFIX.size : PREFIX.size + header_bytes])
        arrays = _read_arrays(view[PREFIX.size + header_bytes :], header.arrays, body_bytes=body_bytes)
    except (struct.error, msgspec.MsgspecError, ValueError, TypeError, OverflowError, SyntaxError) as error:
        raise InvalidResultError(f"cannot read a frame of the aer worker: {error}") from error
    return header.message, arrays


def _read_arrays(
    body: memoryview, specs: tuple[tuple[str, tuple[int, ...]], ...], *, body_bytes: int
) -> list[AnyArray]:
    if len(body) != body_bytes:
        raise ValueError(f"its body has {len(body)} bytes instead of {body_bytes}")
    arrays = []
    start = 0
    for code, shape in specs:
        if not _TYPE_CODE.fullmatch(code) or min(shape, default=0) < 0:
            raise ValueError(f"it has no arrays of type {code} and shape {shape}")
        dtype = np.dtype(code)
        size = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(body, dtype=dtype, count=size, offset=start).reshape(shape))
        start += size * dtype.itemsize
        start += -start % _ALIGNMENT
    return arrays
