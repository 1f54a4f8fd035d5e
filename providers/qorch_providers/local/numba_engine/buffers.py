"""Arrays that are used again by the next job: allocating them anew costs as much as small circuits."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Keeps what is put back under its key, for the most recently used keys. Thread-safe."""

    def __init__(self, *, keys: int) -> None:
        """``keys``: under how many keys something is kept."""
        self._keys = keys
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, list[T]] = OrderedDict()

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        """Something that was put back, or else something new."""
        with self._lock:
            kept = self._kept.get(key)
            if kept:
                return kept.pop()
        return make()

    def put(self, key: Hashable, item: T) -> None:
        """Keep it for the next one."""
        with self._lock:
            self._kept.setdefault(key, []).append(item)
            self._kept.move_to_end(key)
            while len(self._kept) > self._keys:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._kept.clear()
