"""The codec of stored arrays: to bytes and back, sealed by a version and a SHA-256. Pure.

A sealed piece is ``version (1 byte) ‖ sha256(label ‖ payload) (32 bytes) ‖ payload``. The label is everything
else that is known of the block, so that a piece which was moved to another block fails as surely as a changed
one. The payload is not compressed: zlib level 1 halved a block of 512 rows of 188 outcomes, but took 4.4 µs a
row (and 1.6 µs to read), while its SHA-256 takes 0.3 µs, and a fast simulator needs only a few for the row.
"""

import hashlib
import struct
from collections.abc import Sequence

import numpy as np

from qorch.errors import StoreCorruptError
from qorch.model.arrays import AnyArray, FloatArray, UIntArray, freeze
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.measurement import BlockResult
from qorch.model.samples import Samples

VERSION = 1
_SEAL_BYTES = 33
_CODES = ("u1", "<u2", "<u4", "<u8", "<i8", "<f8")
_CODE_OF = {np.dtype(code): index for index, code in enumerate(_CODES)}
_COUNTS, _VALUES, _ESTIMATES = 0, 1, 2
_VERSION_BYTE = bytes([VERSION])
_HEADERS = [struct.Struct(f"<BB{n_dimensions}Q") for n_dimensions in range(3)]
_NEXT_STEP = "restore a backup, or prune the rows of its run and run it again"


def encode_result(result: BlockResult, *, label: bytes) -> bytes:
    """Seal the counts, the exact values or the estimates of a block. The first byte says which, also to a view."""
    counts = result.counts
    if counts is None:
        values = np.zeros((0, 0)) if result.values is None else result.values
        if result.variances is not None:
            return seal([bytes([_ESTIMATES]), *pack(values), *pack(result.variances)], label=label)
        return seal([bytes([_VALUES]), *pack(values)], label=label)
    lengths = counts.offsets[1:] - counts.offsets[:-1]
    parts = [struct.pack("<BI", _COUNTS, counts.n_qubits)]
    for array in (counts.outcomes, counts.counts, shrink(lengths)):
        parts += pack(array)
    return seal(parts, label=label)


def decode_result(content: bytes, *, label: bytes, name: str) -> BlockResult:
    """Verify and open what ``encode_result`` made. Raises StoreCorruptError naming ``name``."""
    payload = unseal(content, label=label, name=name, next_step=_NEXT_STEP)
    if payload[0] == _VALUES:
        values: FloatArray = unpack(payload, 1, count=1)[0][0]
        return BlockResult(values=freeze(values))
    if payload[0] == _ESTIMATES:
        found, _ = unpack(payload, 1, count=2)
        return BlockResult(values=freeze(found[0]), variances=freeze(found[1]))
    (n_qubits,) = struct.unpack_from("<I", payload, 1)
    (outcomes, counts, lengths), _ = unpack(payload, 5, count=3)
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return BlockResult(counts=Counts(n_qubits, outcomes, counts, offsets))


def encode_places(rows: UIntArray, streams: UIntArray, ordinals: UIntArray, *, label: bytes) -> bytes:
    """Seal the three ``(R,)`` arrays that place a block's rows in their call; ``label`` includes their keys."""
    return seal([part for array in (rows, streams, ordinals) for part in pack(shrink(array))], label=label)


def decode_places(content: bytes, *, label: bytes, name: str) -> tuple[UIntArray, UIntArray, UIntArray]:
    """Verify and open what ``encode_places`` made. Raises StoreCorruptError naming ``name``."""
    payload = unseal(content, label=label, name=name, next_step=_NEXT_STEP)
    rows, streams, ordinals = (freeze(array.astype(np.uint64)) for array in unpack(payload, 0, count=3)[0])
    return rows, streams, ordinals


def stream_arrays(samples: Samples | None, *, n_rows: int) -> tuple[UIntArray, UIntArray]:
    """Streams and ordinals as the formats have them: of exact values, which have none, ``n_rows`` zeros each."""
    if samples is None:
        return np.zeros(n_rows, dtype=np.uint64), np.zeros(n_rows, dtype=np.uint64)
    return samples.streams, samples.ordinals


def read_samples(streams: UIntArray, ordinals: UIntArray, *, shots: int | None, offset: int) -> Samples | None:
    """The samples of a stored block; ``shots`` None: exact values, whatever was stored of streams."""
    return None if shots is None else Samples(streams, ordinals, shots, offset)


def shrink(array: AnyArray) -> AnyArray:
    """The same numbers, none negative, in the smallest unsigned type."""
    return array.astype(smallest_unsigned(int(array.max(initial=0))))


def pack(array: AnyArray) -> Sequence[bytes]:
    """The parts of an array's encoding: code of its type, number of dimensions, shape; its entries."""
    code = _CODE_OF.get(array.dtype)
    if code is None:  # the other byte order
        array = array.astype(array.dtype.newbyteorder("<"))
        code = _CODE_OF[array.dtype]
    return _HEADERS[array.ndim].pack(code, array.ndim, *array.shape), array.tobytes()


def unpack(payload: memoryview, offset: int, *, count: int) -> tuple[list[AnyArray], int]:
    """The next arrays from ``offset`` on, and the offset after them."""
    arrays = []
    for _ in range(count):
        code, n_dimensions = struct.unpack_from("<BB", payload, offset)
        shape = struct.unpack_from(f"<{n_dimensions}Q", payload, offset + 2)
        dtype = np.dtype(_CODES[code])
        size = int(np.prod(shape, dtype=np.int64))
        start = offset + 2 + 8 * n_dimensions
        # The copy is aligned, in the machine's own byte order, and lets go of the payload.
        flat = np.frombuffer(payload, dtype=dtype, count=size, offset=start)
        arrays.append(flat.astype(dtype.newbyteorder("=")).reshape(shape))
        offset = start + size * dtype.itemsize
    return arrays, offset


def seal(parts: Sequence[bytes], *, label: bytes) -> bytes:
    """One sealed piece of these parts."""
    return b"".join([_VERSION_BYTE, _digest(label, parts), *parts])


def unseal(content: bytes, *, label: bytes, name: str, next_step: str) -> memoryview:
    """The payload of a sealed piece. Raises StoreCorruptError, naming ``name`` and the next step."""
    if len(content) < _SEAL_BYTES or content[0] != VERSION:
        raise StoreCorruptError(f"{name} is not in format {VERSION}; {next_step}")
    payload = memoryview(content)[_SEAL_BYTES:]
    if _digest(label, [payload]) != content[1:_SEAL_BYTES]:
        raise StoreCorruptError(f"{name} fails its checksum; {next_step}")
    return payload


def _digest(label: bytes, parts: Sequence[bytes | memoryview]) -> bytes:
    hasher = hashlib.sha256(struct.pack("<Q", len(label)) + label)
    for part in parts:
        hasher.update(part)
    return hasher.digest()
