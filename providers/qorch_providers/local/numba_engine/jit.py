"""Compiles kernels with Numba, to run without the interpreter's lock, and caches them under the hash of their sources.

Numba's own cache trusts the time stamp of the one file that holds a function, and may so run a stale kernel after a
change in another module (tried: wrong answers). Here the stamp is the content of every source file of `local`.
"""

import contextlib
import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import platformdirs
from numba.core import event
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator

from qorch_providers.private_folders import is_private, is_writable

CACHE_VARIABLE = "QORCH_KERNEL_CACHE"
_log = logging.getLogger("qorch")


@cache
def kernel_stamp() -> str:
    """64 hexadecimal characters that change with anything a compiled kernel depends on."""
    hasher = hashlib.sha256(f"{_package_version()}/{numba.__version__}/{llvmlite.__version__}".encode())
    hasher.update((numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()).encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        hasher.update(path.relative_to(Path(__file__).parents[1]).as_posix().encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


@cache
def cache_folder() -> Path | None:
    """Where kernels are kept: the user's cache folder, else a temporary one; None if neither can be written."""
    chosen = os.environ.get(CACHE_VARIABLE)
    user = Path(chosen) if chosen else platformdirs.user_cache_path("qorch") / "kernels"
    owner = getattr(os, "getuid", lambda: "user")()
    temporary = Path(tempfile.gettempdir()) / f"qorch-kernels-{owner}"
    for root in (user, temporary):
        folder = root / kernel_stamp()[:16]
        if (root is user or is_private(root)) and is_writable(folder):
            if root is not user:
                _log.warning("%s cannot be written; compiled kernels are kept in %s", user, root)
            return folder
    _log.warning("no cache folder can be written; kernels of the local backend are compiled in every process")
    return None


def compiled(function: Callable[..., Any]) -> Any:
    """Decorate a kernel that Python calls: no interpreter's lock, no bounds checks, IEEE arithmetic, cached on disk."""
    dispatcher = numba.njit(nogil=True, boundscheck=False, error_model="numpy")(function)
    if cache_folder() is not None:
        dispatcher._cache = _ContentCache(function)
    return dispatcher


def internal(function: Callable[..., Any]) -> Any:
    """Decorate a function that only kernels call: without an entry from Python, which takes long to compile."""
    return numba.njit(
        nogil=True, boundscheck=False, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Decorate a function that is inlined into its callers before they are compiled.

    For functions that call others: a function compiled on its own is optimised again in every caller.
    """
    return numba.njit(nogil=True, boundscheck=False, error_model="numpy", inline="always")(function)


class Compilations:
    """Warns before kernels are compiled for the first time on this machine, and measures their compilation.

    ``now_ns`` is the clock.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        """Start without records of compilations."""
        self._known: set[str] = set()
        self._watch = _LockWatch(now_ns)

    def take_intervals(self) -> list[tuple[int, int]]:
        """Begin and end times of compilations, or of reads from disk, since the last call; they may overlap."""
        return self._watch.take()

    @contextlib.contextmanager
    def first_use(self, variant: str) -> Iterator[None]:
        """A context for the use of a variant of the kernels, which may be its first use."""
        if variant in self._known:
            yield
            return
        folder = cache_folder()
        if folder is None or not (folder / f"{variant}.done").exists():
            _log.warning("compiling the kernels of the local backend once (%s); this takes some seconds", variant)
        with event.install_listener("numba:compiler_lock", self._watch):
            yield
        self._known.add(variant)
        if folder is not None:
            with contextlib.suppress(OSError):
                (folder / f"{variant}.done").touch()


class _LockWatch(event.Listener):  # type: ignore[misc]
    """Records the times in which threads wait for Numba's compiler or run it."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._begun = threading.local()
        self._intervals: list[tuple[int, int]] = []

    def on_start(self, event: Any) -> None:
        self._begun.at = [*getattr(self._begun, "at", []), self._now_ns()]

    def on_end(self, event: Any) -> None:
        *outer, begun_ns = getattr(self._begun, "at", None) or [self._now_ns()]
        self._begun.at = outer
        if not outer:
            self._intervals.append((begun_ns, self._now_ns()))

    def take(self) -> list[tuple[int, int]]:
        taken, self._intervals = self._intervals, []
        return taken


def _package_version() -> str:
    try:
        return version("qorch")
    except PackageNotFoundError:
        return "unpacked"


class _ContentLocator(_CacheLocator):  # type: ignore[misc]
    """Names the cache by the content of the sources."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._line = function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return kernel_stamp()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_ContentLocator":
        return cls(py_func)


class _ContentImplementation(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_ContentLocator,)


class KernelFiles(IndexDataCacheFile):  # type: ignore[misc]
    """A function's index file, and a file for each of its variants, named by the types it was compiled for.

    Numba numbers them. Two processes that compile at once, or one that dies in between, can leave an index that names
    the kernel of another variant, which then writes numbers of another width over the memory (tried: it does).
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep a variant; if another process has replaced the index meanwhile, that costs one more compilation."""
        name = f"{self._index_name}.{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.nbc"
        self._save_data(name, data)
        self._save_index(self._load_index() | {key: name})


class _ContentCache(FunctionCache):  # type: ignore[misc]
    """Compiles without the cache if a file is damaged or the disk is full."""

    _impl_class = _ContentImplementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = KernelFiles(self.cache_path, self._impl.filename_base, kernel_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # unpickling may raise any exception
            _log.warning("a damaged compiled kernel is compiled again (%s: %s)", self.cache_path, error)
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _warn_unkept(self.cache_path, getattr(error, "strerror", None) or type(error).__name__)


@cache
def _warn_unkept(folder: str, reason: str) -> None:
    _log.warning("compiled kernels cannot be kept in %s (%s); they are compiled in every process", folder, reason)
