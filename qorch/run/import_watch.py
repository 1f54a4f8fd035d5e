"""Measures the import of Python modules while a run starts, which takes longer than most training steps."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from qorch.ports.clock import Clock


class ImportWatch(MetaPathFinder):
    """A finder that finds nothing itself: it measures the loaders of modules that the other finders find."""

    def __init__(self, clock: Clock) -> None:
        """Watch from now on."""
        self._clock = clock
        self._intervals: list[tuple[int, int]] = []
        sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Watch no longer. May be called twice."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def take_intervals(self) -> list[tuple[int, int]]:
        """Begins and ends of the imports since the last call, in nanoseconds; one may lie within another."""
        taken, self._intervals = self._intervals, []
        return taken

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec from the other finders, with a loader that is measured."""
        for finder in list(sys.meta_path):
            find = None if isinstance(finder, ImportWatch) else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                self._time(spec.loader)
                return spec
        return None

    def _time(self, loader: Any) -> None:
        """Replace the loader's method for its next call; a loader whose methods cannot be replaced is not measured."""
        own = getattr(loader, "__dict__", None)
        if not isinstance(own, dict) or "exec_module" in own or not hasattr(loader, "exec_module"):
            return
        run: Callable[[ModuleType], None] = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            own.pop("exec_module", None)
            begun_ns = self._clock.monotonic_ns()
            try:
                run(module)
            finally:
                self._intervals.append((begun_ns, self._clock.monotonic_ns()))

        own["exec_module"] = exec_module
