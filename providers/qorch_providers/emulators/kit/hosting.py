"""Run an emulator's server: in a thread of its own for tests, or in the foreground until it is told to stop."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from aiohttp import web

from qorch.errors import BackendError

T = TypeVar("T")


class Hosted(Protocol):
    """A server that can be run: an object with an application, made on the event loop on which it runs."""

    @property
    def application(self) -> web.Application:
        """The application."""
        ...


H = TypeVar("H", bound=Hosted)

START_SECONDS = 30.0
_STOP_SECONDS = 0.2


async def open_site(application: web.Application, *, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Listen; port 0 picks a free one. Returns the runner, to be cleaned up, and the port. Raises BackendError."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_STOP_SECONDS, handler_cancellation=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError as error:
        await runner.cleanup()
        raise BackendError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error
    return runner, int(runner.addresses[0][1])


async def serve_until_stopped(
    make: Callable[[], Hosted], *, host: str, port: int, announce: Callable[[int], None]
) -> None:
    """Serve until SIGINT or SIGTERM; ``announce`` is told the port once it listens. Only in the main thread."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    runner, chosen = await open_site(make().application, host=host, port=port)
    try:
        announce(chosen)
        await stopping.wait()
    finally:
        await runner.cleanup()


class ThreadedServer(Generic[H]):
    """A server in a thread with its own event loop, listening from construction until ``stop``."""

    def __init__(self, make: Callable[[], H], *, host: str, port: int) -> None:
        """Start the server and wait until it listens. Raises the error with which starting failed, or BackendError."""
        self.port = 0
        self.hosted: H
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._is_listening = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(make, host, port), name="qorch-emulator", daemon=True)
        self._thread.start()
        if not self._is_listening.wait(START_SECONDS):
            raise BackendError(f"the emulator did not listen on {host}:{port} within {START_SECONDS:.0f} s")
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    def stop(self) -> None:
        """Stop listening and end the thread. May be called twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self, make: Callable[[], H], host: str, port: int) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(make, host, port))
        except Exception as error:
            self._failure = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._is_listening.set()

    async def _serve(self, make: Callable[[], H], host: str, port: int) -> None:
        self.hosted = make()
        runner, self.port = await open_site(self.hosted.application, host=host, port=port)
        try:
            self._is_listening.set()
            await self._stopping.wait()
        finally:
            await runner.cleanup()
