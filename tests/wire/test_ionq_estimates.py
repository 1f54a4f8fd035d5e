"""IonQ's own estimates: both shapes of the answer, what is asked, and the emulator's estimate against its bill."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from ionq_servers import open_ionq, request_of, routed
from ionq_vendor import IONQ
from scripted_server import ScriptedServer, reply

from qorch.errors import BackendError, InvalidResultError
from qorch.model.money import NOTHING, Money
from qorch.ports.backend import EstimatesCost
from qorch_providers.ionq.wire.estimates import read_estimate

PRESENT = {"estimated_unit": "usd", "estimated_total_cost": 24.83, "estimated_execution_time": 5}
EARLIER = {"cost_unit": "usd", "estimated_cost": 24.83, "input_values": {}}
GATES = "gate1=0.00022,gate2=0.000975,minimum=12.4166,mitigated=97.5"


@pytest.mark.parametrize("document", [PRESENT, EARLIER, PRESENT | EARLIER])
def test_both_shapes_are_read(document: dict[str, Any]) -> None:
    """Dollars become money; credits are none."""
    assert read_estimate(json.dumps(document).encode()) == Money("USD", 24_830_000)
    in_credits = {name: "credit" if name.endswith("unit") else value for name, value in document.items()}
    assert read_estimate(json.dumps(in_credits).encode()) is None


@pytest.mark.parametrize(
    "document",
    [{}, {"estimated_unit": "usd"}, PRESENT | {"estimated_total_cost": -1}, PRESENT | {"estimated_unit": "EUR"},
     PRESENT | {"estimated_total_cost": "much"}, PRESENT | {"estimated_total_cost": 1e300}, []],
)  # fmt: skip
def test_what_is_no_amount_is_refused(document: Any) -> None:
    """Missing, negative, huge, a text, or in a unit that is not known."""
    with pytest.raises(InvalidResultError):
        read_estimate(json.dumps(document).encode())


async def ask(routes: Any, options: str) -> tuple[Money | None, list[tuple[str, str]]]:
    """The estimate of three rows of one gate, and the query that was sent."""
    async with ScriptedServer(routed(routes)) as server:
        backend = open_ionq(server.url, options)
        try:
            money = await backend.estimate_cost(request_of(3))
        finally:
            await backend.close()
        return money, server.requests[-1].query if server.requests else []


def test_a_job_is_asked_about_by_its_quantities() -> None:
    """As one circuit with the gates of all; nothing is submitted, and a dry run is not even asked about."""
    routes = {"GET /v0.4/jobs/estimate": reply(200, json.dumps(PRESENT).encode())}
    money, query = asyncio.run(ask(routes, "qpu.forte-1,deadline=2,debiasing=on"))
    assert money == Money("USD", 24_830_000)
    assert dict(query) == {
        "backend": "qpu.forte-1", "qubits": "1", "shots": "100", "1q_gates": "3", "2q_gates": "0",
        "error_mitigation": "true",
    }  # fmt: skip
    assert asyncio.run(ask(routes, "qpu.forte-1,dry_run=on")) == (NOTHING, [])


def test_a_server_without_estimates_is_named() -> None:
    """Some implement a part of IonQ's protocol only."""
    with pytest.raises(BackendError, match="estimates no costs"):
        asyncio.run(ask({}, "qpu.forte-1,deadline=2"))


@pytest.mark.parametrize("options", ["qpu.forte-1", "qpu.forte-1,debiasing=on"])
def test_the_emulator_bills_what_it_has_estimated(options: str) -> None:
    """To the micro-dollar, with the minimum of a job and gates of several rows."""
    with IONQ.start(replace(IONQ.quick, price=GATES)) as emulator:
        backend = open_ionq(emulator.root, options)
        assert isinstance(backend, EstimatesCost)

        async def compare() -> Money | None:
            request = request_of(3, shots=40_000)
            estimate = await backend.estimate_cost(request)
            await backend.open()
            await backend.submit(backend.encode(request, key="ab" * 32))
            await backend.close()
            return estimate

        estimate = asyncio.run(compare())
        (job,) = emulator.jobs()
        assert estimate == Money("USD", int(job["price_usd_micros"]))
