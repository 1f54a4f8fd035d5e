"""Messages with arrays as bytes: length-prefixed frames of a msgpack header and raw arrays.

A frame is the prefix (magic, header bytes, body bytes; little endian), the header, then the arrays one after the other.
Header and arrays are each padded to 8 bytes. Nothing is pickled, and lengths are bounded before anything is allocated.
"""

import math
import re
import struct
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray

PREFIX = struct.Struct("<4sIQ")
MAX_HEADER_BYTES = 1 << 24
MAX_BODY_BYTES = 1 << 34
_MAGIC = b"QFR2"
_ALIGNMENT = 8
_PADDINGS = tuple(bytes(size) for size in range(_ALIGNMENT))
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
    """To a worker: forget and learn gate lists, then execute the blocks."""

    job_id: str
    threads: int
    forget: tuple[bytes, ...]
    learn: tuple[GatesSpec, ...]
    blocks: tuple[BlockSpec, ...]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """From a worker: everything is imported."""


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """Results of a job: per block ``counts`` (arrays outcomes, counts, offsets) or ``values`` (one array).

    A worker says when it executed, in its monotonic nanoseconds.
    """

    job_id: str
    kinds: tuple[Literal["counts", "values"], ...]
    started_ns: int | None = None
    ended_ns: int | None = None


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """From a worker: the job cannot be executed, and why."""

    job_id: str
    message: str


Message = RunJob | Ready | Answer | Failure


class _Header(msgspec.Struct, frozen=True):
    message: Message
    arrays: tuple[tuple[str, tuple[int, ...]], ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Header)


def encode_frame(message: Message, arrays: Sequence[AnyArray] = ()) -> list[Buffer]:
    """The frame in pieces; the arrays are not copied if they are contiguous already."""
    header = _encoder.encode(_Header(message, tuple([(array.dtype.str, array.shape) for array in arrays])))
    body: list[Buffer] = []
    body_bytes = 0
    for array in arrays:
        body += (_bytes_of(array), _padding(array.nbytes))
        body_bytes += _padded(array.nbytes)
    return [PREFIX.pack(_MAGIC, len(header), body_bytes), header, _padding(len(header)), *body]


def _bytes_of(array: AnyArray) -> Buffer:
    # A view without entries cannot be cast.
    return np.ascontiguousarray(array).reshape(-1).data.cast("B") if array.size else b""


def _padded(size: int) -> int:
    return size + -size % _ALIGNMENT


def _padding(size: int) -> bytes:
    return _PADDINGS[-size % _ALIGNMENT]


def bytes_after(prefix: bytes) -> int:
    """How many bytes follow this prefix of a frame. Raises InvalidResultError if no frame begins so."""
    header_bytes, body_bytes = _read_prefix(prefix)
    return _padded(header_bytes) + body_bytes


def _read_prefix(prefix: bytes) -> tuple[int, int]:
    """Header and body length of the frame that begins so."""
    magic, header_bytes, body_bytes = PREFIX.unpack(prefix)
    if magic != _MAGIC or header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise InvalidResultError(f"expected a frame, found {prefix.hex()}; something else wrote into a worker's pipe")
    return header_bytes, body_bytes


def decode_frame(content: bytes | memoryview) -> tuple[Message, list[AnyArray]]:
    """Message and arrays (views of ``content``) of a whole frame. Raises InvalidResultError if it is damaged."""
    view = memoryview(content)
    try:
        header_bytes, body_bytes = _read_prefix(bytes(view[: PREFIX.size]))
        header = _decoder.decode(view[PREFIX.size : PREFIX.size + header_bytes])
        body = view[PREFIX.size + _padded(header_bytes) :]
        arrays = _read_arrays(body, header.arrays, body_bytes=body_bytes)
    except (struct.error, msgspec.MsgspecError, ValueError, TypeError, OverflowError, SyntaxError) as error:
        raise InvalidResultError(f"cannot read a frame: {error}") from error
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
        array: AnyArray = np.frombuffer(body, dtype=dtype, count=math.prod(shape), offset=start).reshape(shape)
        arrays.append(array)
        start += _padded(array.nbytes)
    if start != body_bytes:
        raise ValueError(f"its arrays end after {start} of {body_bytes} bytes")
    return arrays
