"""The server of `qorch ui`: pages, their parts, and events when they have changed. It listens on loopback only."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.typedefs import Handler

from qorch.audit.page.html import LiveLinks, policy, write_live_page
from qorch.audit.page.pictures import WIDTHS
from qorch.audit.page.progress import OVER, PageView
from qorch.errors import QorchError, UnknownNameError, UsageError
from qorch.model.text import printable
from qorch.ports.clock import Clock
from qorch.ports.reader import Reader
from qorch.ui.guard import HEADERS, Guard
from qorch.ui.maker import PageMaker

HOST = "127.0.0.1"
LOOK_SECONDS = 0.1
"""How often the database is asked whether it has changed, while somebody looks: one look costs microseconds."""
_SLOWEST_SECONDS = 0.6
_COST = 150
"""Pages are made again once this many times as long has passed as it took, but at the latest after the above."""

_LONGEST_NUMBER = 20

T = TypeVar("T")


class PageServer:
    """Serves one database. ``clock``: measures what pages cost."""

    def __init__(self, reader: Reader, *, clock: Clock) -> None:
        """Nothing is read before somebody asks."""
        # What is costly and not urgent has a thread, so that no step waits for it.
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qorch-ui-jobs")
        self._content = PageMaker(reader, clock=clock, background=self._background.submit)
        self._clock = clock
        self._guard = Guard()
        # One thread reads: pages that are made at once would only take the run's processors.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qorch-ui")
        self._costs: dict[str | None, float] = {}

    @property
    def token(self) -> str:
        """What the first request has to bring."""
        return self._guard.token

    def application(self) -> web.Application:
        """The routes. There is none that changes anything."""
        application = web.Application(middlewares=[self._guard.middleware(), _answer_errors])
        application.add_routes(
            [
                web.get("/", self._show_runs),
                web.get("/run", self._show_run),
                web.get("/compare", self._show_comparison),
                web.get("/part", self._send_part),
                web.get("/events", self._send_events, allow_head=False),
            ]
        )
        application.on_cleanup.append(self._close)
        return application

    async def _show_runs(self, _request: web.Request) -> web.Response:
        content = await self._read(self._content.runs)
        return _page("Runs · qorch", content, LiveLinks("/events", "/part"))

    async def _show_run(self, request: web.Request) -> web.Response:
        run_id = request.query.get("id", "")
        title = await self._read(lambda: self._content.title(run_id))
        content = await self._read(lambda: self._content.run(run_id))
        query = urlencode({"id": run_id}, errors="surrogatepass")
        return _page(title, content, LiveLinks(f"/events?{query}", f"/part?{query}"))

    async def _show_comparison(self, request: web.Request) -> web.Response:
        run_ids = request.query.getall("run", [])
        content = await self._read(lambda: self._content.comparison(run_ids))
        query = urlencode([("run", run_id) for run_id in run_ids], errors="surrogatepass")
        return _page("Side by side · qorch", content, LiveLinks("/events", f"/part?{query}"))

    async def _send_part(self, request: web.Request) -> web.Response:
        run_id, several = request.query.get("id"), request.query.getall("run", [])
        begun_ns = self._clock.monotonic_ns()
        if several:
            text = await self._read(lambda: self._content.comparison(several))
        elif run_id is None:
            text = await self._read(self._content.runs)
        else:
            shown, view = _read_number(request.query.get("made", "")), _read_view(request)
            text = await self._read(lambda: self._content.run(run_id, shown=shown, view=view))
        self._costs[run_id] = (self._clock.monotonic_ns() - begun_ns) / 1e9
        return web.Response(text=text, content_type="text/html", headers=HEADERS)

    async def _send_events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: one, without content, whenever the page may look differently."""
        run_id = request.query.get("id")
        answer = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await answer.prepare(request)
        shown: object = None
        with suppress(ConnectionError):
            while True:
                now = await self._read(lambda: self._content.change(run_id))
                if now != shown:
                    shown = now
                    await answer.write(b"data: changed\n\n")
                    await self._clock.sleep(min(_SLOWEST_SECONDS, _COST * self._costs.get(run_id, 0.0)))
                await self._clock.sleep(LOOK_SECONDS)
        return answer

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _close(self, _application: web.Application) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._background.shutdown(cancel_futures=True)


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An error of qorch becomes a sentence; its class says whose it is."""
    try:
        return await handler(request)
    except (UnknownNameError, UsageError) as error:
        status = 404 if isinstance(error, UnknownNameError) else 400
        return web.Response(status=status, text=printable(str(error)) + "\n", headers=HEADERS)
    except QorchError as error:
        return web.Response(status=503, text=printable(str(error)) + "\n", headers=HEADERS)


def _read_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER else None


def _read_view(request: web.Request) -> PageView:
    """What of the curves the page shows, as it says; all of them if it does not."""
    over, width = request.query.get("over"), _read_number(request.query.get("width", ""))
    return PageView(over if over in OVER else None, width if width in WIDTHS else None)


def _page(title: str, content: str, links: LiveLinks) -> web.Response:
    rules = {"Content-Security-Policy": policy(is_live=True) + "; frame-ancestors 'none'"}
    text = write_live_page(title, content, links)
    return web.Response(text=text, content_type="text/html", headers={**HEADERS, **rules})


async def serve(server: PageServer, *, port: int, announce: Callable[[str], None]) -> None:
    """Serve until cancelled; ``announce`` is given the address with the token. Raises UsageError for a port in use."""
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(f"cannot listen on port {port} ({error.strerror}); choose another with --port") from error
        chosen = runner.addresses[0][1]
        announce(f"http://{HOST}:{chosen}/?token={server.token}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
