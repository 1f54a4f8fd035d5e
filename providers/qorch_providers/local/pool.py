"""A few plain threads that run kernels side by side; made when first needed, and made again after a fork."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[int], None]


class ThreadTeam:
    """``size`` threads, one of which is the caller's own. Kernels release the interpreter's lock."""

    def __init__(self, size: int) -> None:
        """No thread is started yet."""
        self.size = max(1, size)
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._owner_pid = os.getpid()

    def run(self, task: Task, *, members: int) -> None:
        """Call ``task(member)`` for ``members`` members at the same time; raises what any of them raised."""
        helpers = min(members, self.size) - 1
        if helpers <= 0:
            task(0)
            return
        futures = [self._threads().submit(task, member) for member in range(1, helpers + 1)]
        try:
            task(0)
        finally:  # who has not begun by now finds nothing left to do
            begun = [future for future in futures if not future.cancel()]
            failures = [future.exception() for future in begun]
        for failure in filter(None, failures):
            raise failure

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
