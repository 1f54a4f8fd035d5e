"""A few plain threads that run kernels side by side; made when first needed, and made again after a fork."""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

Task = Callable[[int], None]
_log = logging.getLogger("qorch")


class ThreadTeam:
    """``size`` threads, one of which is the caller's own. Kernels release the interpreter's lock."""

    def __init__(self, size: int) -> None:
        """No thread is started yet."""
        self.size = max(1, size)
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._owner_pid = os.getpid()

    def run(self, task: Task, *, members: int) -> None:
        """Call ``task(member)`` for up to ``members`` members at the same time; raises what any of them raised.

        If the system starts no thread, the caller does the work alone.
        """
        helpers = min(members, self.size) - 1
        if helpers <= 0:
            task(0)
            return
        futures = self._start(task, helpers)
        try:
            task(0)
        finally:  # a member that has not begun by now would find no work left
            begun = [future for future in futures if not future.cancel()]
            failures = [future.exception() for future in begun]
        for failure in filter(None, failures):
            raise failure

    def _start(self, task: Task, helpers: int) -> list[Future[None]]:
        """Start as many helpers as the system allows."""
        futures: list[Future[None]] = []
        try:
            for member in range(1, helpers + 1):
                futures.append(self._threads().submit(task, member))  # noqa: PERF401 - keeps those before a failure
        except RuntimeError as error:
            _log.debug("%d of %d threads could be started: %s", len(futures), helpers, error)
            self.close()  # the next run tries again with new threads
        return futures

    def close(self) -> None:
        """End the threads; a later run starts new ones."""
        with self._lock:
            if self._executor is not None and self._owner_pid == os.getpid():
                self._executor.shutdown(wait=False)
            self._executor = None

    def _threads(self) -> ThreadPoolExecutor:
        if self._owner_pid != os.getpid():  # threads do not survive a fork, and a lock may have been held
            self._lock, self._executor, self._owner_pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.size, thread_name_prefix="qorch-local")
            return self._executor
