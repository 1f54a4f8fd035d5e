"""A device and its instance as servers tell of them: in part, for a while not at all, or after a close."""

import asyncio
import json
from typing import Any

import pytest
from ibm_circuits import documents
from ibm_client import CRN, TOKEN, scripted
from ibm_vendor import environment
from scripted_server import Request, ScriptedServer, reply

from qorch.errors import BusyError, InvalidResultError, RejectedError, UnknownNameError
from qorch.ports.clock import WallClock
from qorch_providers.ibm.access import read_access
from qorch_providers.ibm.connection import Connector
from qorch_providers.ibm.device_watch import LOOK_AGAIN_SECONDS, TRY_AGAIN_SECONDS, DeviceWatch
from qorch_providers.ibm.options import parse_options
from qorch_providers.ibm.wire.client import IbmClient
from qorch_providers.ibm.wire.documents import decode_state


def test_a_backend_that_is_closed_while_its_instance_is_searched_stays_closed() -> None:
    """No connection is opened that nobody closes."""

    async def main() -> None:
        is_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def answer_late(writer: asyncio.StreamWriter) -> None:
            is_asked.set()
            await may_answer.wait()
            await reply(200, {"items": [{"crn": CRN, "name": "first"}]})(writer)

        async with ScriptedServer(lambda request: TOKEN if "identity" in request.path else answer_late) as server:
            options = parse_options("ibm_lagos")
            connector = Connector(read_access(environment(server.url), options), options, clock=WallClock())
            connecting = asyncio.create_task(connector.connect())
            await is_asked.wait()
            await connector.close()
            may_answer.set()
            with pytest.raises(RejectedError, match="is closed"):
                await connecting

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize(("status", "error"), [(200, None), (400, None), (404, None), (503, BusyError)])
def test_a_list_that_does_not_know_a_device_has_no_jobs_of_it(status: int, error: type[BusyError] | None) -> None:
    """So that a name which is mistyped is told as such; a server's error says nothing, and is waited for."""
    answer = {"jobs": [], "count": 0} if status == 200 else {"errors": [{"code": 1007, "message": "not found"}]}

    async def work(client: IbmClient) -> None:
        if error is None:
            assert not await client.has_jobs("ibm_fex")
            return
        with pytest.raises(error):
            await client.has_jobs("ibm_fex")

    scripted(lambda request: reply(status, answer), work)


@pytest.mark.parametrize(
    ("document", "is_active", "waiting"),
    [
        ({"state": True, "status": "active", "length_queue": 3, "message": "available"}, True, 3),
        ({"state": True, "status": "internal", "length_queue": 3}, False, 3),
        ({"state": False, "status": "active", "length_queue": 0}, False, 0),
        ({"status": "active", "length_queue": 0}, True, 0),
        ({"status": "maintenance", "length_queue": 0}, False, 0),
        ({"length_queue": 7}, True, 7),
        ({"state": True, "length_queue": None}, True, None),
    ],
)
def test_a_devices_state_may_be_told_in_part(document: dict[str, Any], is_active: bool, waiting: int | None) -> None:
    """IBM's specification requires the length of the queue only; what is not told does not close a device."""
    found = decode_state(json.dumps(document).encode())
    assert (found.is_active, found.waiting) == (is_active, waiting)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"state": "true"}'])
def test_what_is_no_state_of_a_device_is_asked_again(body: bytes) -> None:
    """Such as a page of a gateway."""
    with pytest.raises(InvalidResultError):
        decode_state(body)


def test_a_device_that_was_away_is_there_again() -> None:
    """A device that IBM did not know for a while is used again as soon as it is listed: no run waits for ever."""
    configuration, properties = documents("lagos")
    answers = {"configuration": configuration, "properties": properties, "status": {"state": True, "status": "active"}}
    is_away = False

    def serve(request: Request) -> Any:
        name = request.path.rpartition("/")[2]
        if name == "backends":
            return reply(200, {"devices": []})
        return reply(404, {"errors": [{"code": 1007}]}) if is_away else reply(200, answers[name])

    async def work(client: IbmClient) -> None:
        async def connect() -> IbmClient:
            return client

        nonlocal is_away
        watch = DeviceWatch(connect, parse_options("ibm_lagos"), clock=WallClock())
        seen = await watch.look()
        is_away = True
        with pytest.raises(UnknownNameError, match="no device ibm_lagos, or not any more"):
            await watch.look()
        with pytest.raises(UnknownNameError):
            _ = watch.device
        is_away = False
        assert (await watch.look()).device is watch.device is seen.device

    scripted(serve, work)


def test_a_look_that_fails_is_not_repeated_at_once() -> None:
    """Submissions look at a device whose calibration is old: all would wait for a server that does not answer."""
    seconds = [0.0]
    configuration, properties = documents("lagos")
    answers = {"configuration": configuration, "properties": properties, "status": {"state": True, "status": "active"}}
    is_broken = False

    class SetClock(WallClock):
        def monotonic_ns(self) -> int:
            return round(seconds[0] * 1e9)

    async def work(client: IbmClient) -> None:
        async def connect() -> IbmClient:
            return client

        nonlocal is_broken
        watch = DeviceWatch(connect, parse_options("ibm_lagos"), clock=SetClock())
        await watch.look()
        seconds[0] += LOOK_AGAIN_SECONDS + 1
        is_broken = watch.is_old
        with pytest.raises(BusyError):
            await watch.look()
        assert not watch.is_old
        seconds[0] += TRY_AGAIN_SECONDS + 1
        assert watch.is_old
        is_broken = False
        await watch.look()
        seconds[0] += LOOK_AGAIN_SECONDS - 1
        assert not watch.is_old

    scripted(lambda request: reply(503) if is_broken else reply(200, answers[request.path.rpartition("/")[2]]), work)
