"""Decodes bodies of answers without holding up the event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LARGE_BYTES = 100_000
"""A job may name thousands of others: decoding more than this takes milliseconds, and is done in a thread."""


async def decode_body(body: bytes, decode: Callable[[bytes], T]) -> T:
    """What ``decode`` makes of a body, in a thread if the body is large. Raises what ``decode`` raises."""
    return await asyncio.to_thread(decode, body) if len(body) > LARGE_BYTES else decode(body)
