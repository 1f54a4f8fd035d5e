"""What a test sends to an emulator's own routes."""

import msgspec

from qorch.errors import UsageError


class FaultsWire(msgspec.Struct):
    """The body of ``POST /_emulator/faults``."""

    faults: str


def decode_faults(body: bytes) -> str:
    """Read a text of faults. Raises UsageError."""
    try:
        return msgspec.json.decode(body, type=FaultsWire).faults
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is not valid: {error}") from error
