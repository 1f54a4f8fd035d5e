"""A pool of arrays for reuse by later jobs: allocating them costs as much time as small circuits."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class BufferPool(Generic[T]):
    """A pool of reusable items by key; keeps those of the most recently used keys. Thread-safe."""

    def __init__(self, *, keys: int) -> None:
        """``keys``: the number of keys whose items are kept."""
        self._keys = keys
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, list[T]] = OrderedDict()

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        """An item that was put back under this key, or a new one."""
        with self._lock:
            kept = self._kept.get(key)
            if kept:
                return kept.pop()
        return make()

    def put(self, key: Hashable, item: T) -> None:
        """Put an item back, for the next ``take`` with this key."""
        with self._lock:
            self._kept.setdefault(key, []).append(item)
            self._kept.move_to_end(key)
            while len(self._kept) > self._keys:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Drop all items."""
        with self._lock:
            self._kept.clear()
