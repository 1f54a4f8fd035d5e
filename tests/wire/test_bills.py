"""Quotes against bills: what qorch says that jobs cost, and what the emulators charge for them by their own books."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from braket_vendor import BRAKET
from hypothesis import given
from hypothesis import strategies as st
from ibm_vendor import IBM
from ionq_vendor import IONQ
from random_expectations import random_case
from vendors import Vendor, VendorEmulator

import qorch
from qorch.backends import plan_offline
from qorch.config import read_config
from qorch.limits import check_price
from qorch.model.job import Interval, Usage
from qorch.model.pub import Pub, as_batch
from qorch.model.usage import ReportedUsage
from qorch.planning.pricing import Cost, price
from qorch.planning.quoting import Quote, quote_offline
from qorch.ports.backend import ReportsUsage
from qorch.ports.clock import WallClock
from qorch.prices import load_prices
from qorch.testing.fakes.store import MemoryStore
from qorch_providers.emulators.braket.money import DevicePrice, billed_ms
from qorch_providers.emulators.ibm.money import UsageModel, whole_seconds
from qorch_providers.ibm.circuits.durations import estimate_seconds
from qorch_providers.ibm.options import parse_options

DEVICES = ("qpu.forte-1", "qpu.forte-1,gateset=native", "qpu.forte-1,rows=2", "qpu.forte-1,debiasing=on")
TASKS = ("garnet", "forte-1", "garnet,rows=2", "ankaa-3")


@contextmanager
def bench(vendor: Vendor, options: str, **settings: Any) -> Iterator[tuple[VendorEmulator, qorch.Run]]:
    """An emulator with these settings, and a run on a backend with these options."""
    with vendor.start(replace(vendor.quick, **settings)) as emulator:
        backend = vendor.open_backend(options, clock=WallClock(), environment=vendor.environment(emulator.root))
        store = MemoryStore(WallClock())
        with qorch.start_run("bills", backend=backend, db=store, seed=1, progress="off") as run:
            yield emulator, run


def billed(emulator: VendorEmulator) -> int:
    """All that the emulator charges so far, in micro-dollars, by its own account of published prices."""
    return emulator.bill()["total"]["micros"]


def random_pubs(random: np.random.Generator, number: int) -> list[Pub]:
    """One or two circuits of any gates, each in three bases."""
    shots = int(random.integers(500, 3000))
    cases = [random_case(random, number + index, shots=shots) for index in range(int(random.integers(1, 3)))]
    return [case.pub for case in cases]


def quote_without_asking(run: qorch.Run, pubs: list[Pub]) -> Quote:
    """What `qorch quote` says."""
    config = read_config()
    card = check_price(run.backend, load_prices(config), accepts_unknown=False)
    planner = plan_offline(run.backend.name, config=config, clock=WallClock())
    return quote_offline(as_batch(pubs), planner, card, default_shots=None)


def compare_bills(emulator: VendorEmulator, run: qorch.Run, *, workloads: int, seed: int) -> int:
    """Quote, run and bill random workloads: equal to the micro-dollar; the amount of all of them."""
    random = np.random.default_rng(seed)
    for number in range(workloads):
        pubs = random_pubs(random, 7 * number)
        quote, offline, before = run.quote(pubs), quote_without_asking(run, pubs), billed(emulator)
        jobs_before = len(emulator.jobs())
        run.execute(pubs)
        assert quote.cost is not None
        assert quote.cost.is_exact
        assert quote.cost.expected_micros == billed(emulator) - before
        assert quote.jobs == len(emulator.jobs()) - jobs_before
        assert offline == quote
    return billed(emulator)


@pytest.mark.parametrize("options", DEVICES)
def test_ionq_bills_what_was_quoted(options: str) -> None:
    """Gates times shots of the circuits as they are sent, with the minimum of each job."""
    with bench(IONQ, options) as (emulator, run):
        assert compare_bills(emulator, run, workloads=3, seed=1) > 0


def test_ionq_tells_what_it_bills() -> None:
    """The charge of each job, as its adapter reads it, is the amount on the bill, to the micro-dollar."""
    with bench(IONQ, DEVICES[2]) as (emulator, run):
        run.execute(random_pubs(np.random.default_rng(5), 0))
        backend = IONQ.open_backend(DEVICES[2], clock=WallClock(), environment=IONQ.environment(emulator.root))
        amounts = {str(line["id"]): line["amount"] for line in emulator.bill()["jobs"]}

        async def ask() -> dict[str, ReportedUsage]:
            try:
                assert isinstance(backend, ReportsUsage)
                return await backend.fetch_usage(list(amounts), since=WallClock().now())
            finally:
                await backend.close()

        charges = {job_id: usage.charge for job_id, usage in asyncio.run(ask()).items()}
    assert len(amounts) > 1
    assert {job_id: charge and charge.to_json() for job_id, charge in charges.items()} == amounts


def test_a_dry_run_costs_nothing() -> None:
    """IonQ checks such a job, and neither runs nor bills it."""
    planner = plan_offline("ionq:qpu.forte-1,dry_run=on", config=read_config(), clock=WallClock())
    card = load_prices(read_config()).find(planner.name)
    assert card is not None
    pubs = random_pubs(np.random.default_rng(1), 0)
    quote = quote_offline(as_batch(pubs), planner, card, default_shots=None)
    assert quote.executions > 0
    assert quote.cost == Cost("USD")


@pytest.mark.parametrize("options", TASKS)
def test_braket_bills_what_was_quoted(options: str) -> None:
    """A fee for each task, which a program set is one of, and the shots."""
    with bench(BRAKET, options) as (emulator, run):
        assert compare_bills(emulator, run, workloads=2, seed=2) > 0


@pytest.mark.soak
@pytest.mark.parametrize(
    ("vendor", "options"), [(IONQ, DEVICES[0]), (IONQ, DEVICES[2]), (BRAKET, "garnet"), (BRAKET, "forte-1")]
)
def test_many_random_workloads_cost_what_was_quoted(vendor: Vendor, options: str) -> None:
    """Fifty each, to the micro-dollar."""
    with bench(vendor, options) as (emulator, run):
        assert compare_bills(emulator, run, workloads=50, seed=3) > 0


@pytest.mark.soak
@pytest.mark.parametrize(("vendor", "options"), [(BRAKET, "sv1"), (IBM, IBM.options)])
def test_time_is_billed_within_the_quoted_interval(vendor: Vendor, options: str) -> None:
    """The seconds of IBM's devices and of Amazon's simulators are estimates: the bill lies between the ends."""
    pubs = random_pubs(np.random.default_rng(4), 0)
    with bench(vendor, options) as (emulator, run):
        quote = run.quote(pubs)
        run.execute(pubs)
        assert quote.cost is not None
        assert 0 < quote.cost.low_micros <= billed(emulator) <= quote.cost.high_micros


@given(st.integers(1, 10_000_000))
def test_ibm_bills_an_interval_of_seconds(shots: int) -> None:
    """The emulator takes 0.28 ms for a shot and IBM's formula 0.35, so that at most a fifth less is charged."""
    usage = Usage(1, shots, seconds=estimate_seconds(shots, parse_options("ibm_fez,max_time=10800")))
    card = load_prices(read_config()).find("ibm:ibm_fez")
    assert card is not None
    cost = price(usage, card)
    assert cost is not None
    charged = whole_seconds(UsageModel().seconds(shots)) * 1_600_000
    assert cost.low_micros <= charged <= cost.high_micros
    # IBM's quick formula has 0.35 ms a shot, the emulator 0.3.
    assert 0 <= cost.expected_micros - charged <= 0.2 * cost.expected_micros + 1_600_000


@given(st.integers(0, 20_000_000))
def test_amazon_bills_simulators_by_the_millisecond(execution_ms: int) -> None:
    """With a minimum of three seconds, and each fraction of a millionth of a dollar begun."""
    card = load_prices(read_config()).find("braket:sv1")
    assert card is not None
    seconds = execution_ms / 1000
    cost = price(Usage(1, 100, seconds=Interval(seconds, seconds, seconds)), card)
    charged = DevicePrice(minute_micros=75_000).charge_micros(shots=100, billed_ms=billed_ms(execution_ms))
    assert cost == Cost("USD", charged, charged, charged)
