"""The forms of results: of the sampler as Qiskit's objects or as plain JSON, and of the executor as tensors.

Each PUB or item becomes one ``PubBits``: its shots, in whatever form they are packed. A PUB of the estimator becomes
its values and standard errors.
"""

import binascii
import io
import math
import zlib
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray, ByteArray, FloatArray

REGISTER = "meas"
"""The only classical register of the circuits that are sent."""
_NPY_BYTES = 4096
"""Room for the header of an npy file."""
_COMPRESSED_FROM = 2
"""The version of the executor's schema since which tensors are compressed."""

Wire = TypeVar("Wire")


@dataclass(frozen=True)
class BytesOfShots:
    """``array (R, S, B)``: each shot in B bytes, the highest bit first; ``n_bits`` of them count."""

    array: ByteArray
    n_bits: int


@dataclass(frozen=True)
class BitsOfShots:
    """``packed``: R x S x B bits one after the other, the lowest bit of each byte first, bit 0 of a shot first."""

    packed: ByteArray
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class NumbersOfShots:
    """``rows``: of each row the hexadecimal numbers of its shots; ``n_bits`` of them count."""

    rows: list[list[str]]
    n_bits: int


PubBits = BytesOfShots | BitsOfShots | NumbersOfShots


class _Answer(msgspec.Struct):
    """Any form; what the others do not have is UNSET."""

    type: str | msgspec.UnsetType = msgspec.field(name="__type__", default=msgspec.UNSET)
    value: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="__value__", default=msgspec.UNSET)
    schema_version: str | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    results: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Typed(msgspec.Struct):
    type: str = msgspec.field(name="__type__")
    value: msgspec.Raw = msgspec.field(name="__value__")


class _PrimitiveWire(msgspec.Struct):
    pub_results: list[_Typed]


class _PubWire(msgspec.Struct):
    data: _Typed


class _DataBinWire(msgspec.Struct):
    fields: dict[str, _Typed]


class _BitArrayWire(msgspec.Struct):
    array: _Typed
    num_bits: int


class _SamplesWire(msgspec.Struct):
    samples: Any
    num_bits: int


class _PlainWire(msgspec.Struct):
    data: dict[str, _SamplesWire]


class _TensorWire(msgspec.Struct):
    data: str
    shape: list[int]
    dtype: str


class _ItemWire(msgspec.Struct):
    results: dict[str, _TensorWire]


def read_pubs(body: bytes, *, most_bytes: int) -> list[PubBits]:
    """The shots of each PUB, in their order; no array has more bytes. Raises InvalidResultError."""
    answer = _decode(body, _Answer, "the results")
    if isinstance(answer.value, msgspec.Raw):
        return [_read_pub(pub, most_bytes) for pub in _primitive_pubs(answer.type, answer.value)]
    if isinstance(answer.data, msgspec.Raw) and isinstance(answer.schema_version, str):
        is_compressed = _major(answer.schema_version) >= _COMPRESSED_FROM
        items = _decode(answer.data, list[_ItemWire], "the results of the items")
        return [_read_tensor(_only(item.results), most_bytes, is_compressed=is_compressed) for item in items]
    if isinstance(answer.results, msgspec.Raw):
        plain = _decode(answer.results, list[_PlainWire], "the results of the PUBs")
        return [_read_samples(_only(pub.data)) for pub in plain]
    raise InvalidResultError("the answer has none of the known forms of results; fetch it again")


def read_estimates(body: bytes, *, most_bytes: int) -> list[tuple[FloatArray, FloatArray]]:
    """The values of each PUB of the estimator and their standard errors, arrays of one shape and float64.

    The errors are ``stds``: with twirling, the spread over its random circuits, so that drifts are in it, too. Raises
    InvalidResultError.
    """
    answer = _decode(body, _Answer, "the results")
    if not isinstance(answer.value, msgspec.Raw):
        raise InvalidResultError("the answer has no results of the estimator; fetch it again")
    pubs = _primitive_pubs(answer.type, answer.value)
    return [(_read_floats(pub, "evs", most_bytes), _read_floats(pub, "stds", most_bytes)) for pub in pubs]


def _primitive_pubs(kind: object, value: msgspec.Raw) -> list[_Typed]:
    return _decode(_of_type(kind, value, "PrimitiveResult"), _PrimitiveWire, "the results").pub_results


def _decode(body: bytes | msgspec.Raw, kind: type[Wire], name: str) -> Wire:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"{name} cannot be read ({error}); fetch them again") from error


def _of_type(found: object, value: msgspec.Raw, *expected: str) -> msgspec.Raw:
    if found not in expected:
        raise InvalidResultError(f"the answer has a {str(found)[:80]} in place of a {expected[0]}")
    return value


def _only(registers: dict[str, Wire]) -> Wire:
    """The one register that was measured: anything beside it would change what its bits mean."""
    if list(registers) != [REGISTER]:
        raise InvalidResultError(f"a PUB has the registers {sorted(registers)[:5]}, not {REGISTER} alone")
    return registers[REGISTER]


def _read_pub(pub: _Typed, most_bytes: int) -> PubBits:
    field = _only(_read_fields(pub, "SamplerPubResult"))
    bits = _decode(_of_type(field.type, field.value, "BitArray"), _BitArrayWire, "the bits of a PUB")
    return BytesOfShots(_as_rows(_read_ndarray(bits.array, most_bytes)), bits.num_bits)


def _read_fields(pub: _Typed, kind: str) -> dict[str, _Typed]:
    of_pub = _decode(_of_type(pub.type, pub.value, kind, "PubResult"), _PubWire, "a PUB's result")
    data = _decode(_of_type(of_pub.data.type, of_pub.data.value, "DataBin"), _DataBinWire, "the data of a PUB")
    return data.fields


def _read_floats(pub: _Typed, name: str, most_bytes: int) -> FloatArray:
    fields = _read_fields(pub, "EstimatorPubResult")
    if name not in fields:
        raise InvalidResultError(f"a PUB of the estimator has no '{name}', but {sorted(fields)[:5]}")
    array = _read_ndarray(fields[name], most_bytes)
    if not isinstance(array, np.ndarray) or array.dtype != np.float64:
        raise InvalidResultError(f"the '{name}' of a PUB are not an array of numbers")
    return np.ascontiguousarray(array)


def _read_ndarray(field: _Typed, most_bytes: int) -> AnyArray:
    text = _decode(_of_type(field.type, field.value, "ndarray"), str, "an array of a PUB")
    return _read_npy(_unpack(text, most=most_bytes + _NPY_BYTES))


def _read_npy(content: bytes) -> AnyArray:
    try:
        array: AnyArray = np.load(io.BytesIO(content), allow_pickle=False, max_header_size=_NPY_BYTES)
    except Exception as error:
        # The reader of npy files parses its header as Python, and raises whatever that does.
        raise InvalidResultError(f"an array of the answer cannot be read: {str(error)[:200]}") from error
    return array


def _as_rows(array: AnyArray) -> ByteArray:
    """``(R, S, B)``; a PUB without a shape is one row."""
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise InvalidResultError("the bits of a PUB are not an array of bytes of rows and shots")
    return np.ascontiguousarray(array if array.ndim == 3 else array[np.newaxis])


def _read_samples(found: _SamplesWire) -> NumbersOfShots:
    rows = found.samples
    if isinstance(rows, list) and all(isinstance(each, str) for each in rows):
        rows = [rows]
    try:
        return NumbersOfShots(msgspec.convert(rows, list[list[str]]), found.num_bits)
    except msgspec.ValidationError as error:
        raise InvalidResultError("the samples of a PUB are neither of one row nor of rows") from error


def _major(version: str) -> int:
    number = version.removeprefix("v").partition(".")[0]
    if not number.isascii() or not number.isdigit() or len(number) > 3:
        raise InvalidResultError(f"the results are of the unknown version {version[:40]}")
    return int(number)


def _read_tensor(tensor: _TensorWire, most_bytes: int, *, is_compressed: bool) -> BitsOfShots:
    shape = tensor.shape if len(tensor.shape) != 2 else [1, *tensor.shape]
    if tensor.dtype != "bool" or len(shape) != 3 or min(shape) < 0:
        raise InvalidResultError(f"an item has a {tensor.dtype[:20]} of shape {shape[:5]}, not bits of rows and shots")
    n_bytes = -(-math.prod(shape) // 8)
    if n_bytes > most_bytes:
        raise InvalidResultError(f"an item has {n_bytes} bytes of bits, more than all that was sent")
    content = _unpack(tensor.data, most=n_bytes) if is_compressed else _from_base64(tensor.data)
    if len(content) != n_bytes:
        raise InvalidResultError(f"an item has {len(content)} bytes of bits; its shape {shape} is {n_bytes}")
    n_rows, shots, n_bits = shape
    return BitsOfShots(np.frombuffer(content, dtype=np.uint8), (n_rows, shots, n_bits))


def _unpack(text: str, *, most: int) -> bytes:
    """What is base64 of zlib."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(_from_base64(text), most + 1)
    except zlib.error as error:
        raise InvalidResultError(f"an array of the answer cannot be unpacked: {error}") from error
    if len(content) > most or not unpacker.eof or unpacker.unused_data:
        raise InvalidResultError(f"an array of the answer is cut short, or larger than {most} bytes")
    return content


def _from_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode(), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidResultError(f"an array of the answer is not base64: {error}") from error
