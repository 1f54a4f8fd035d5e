"""The ledger against the emulators' own bills: random calls, of which jobs fail, are cancelled, or come in part."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from book_checks import assert_books_are_the_bill, recover_all
from braket_vendor import BRAKET
from ibm_vendor import DEVICE, IBM
from ionq_vendor import IONQ
from random_expectations import random_case
from vendors import Vendor, VendorEmulator

import qorch
from qorch.errors import BackendError
from qorch.model.ledger import JobBalance, balance_job
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.ports.store import Store
from qorch.stores import open_store

COUNTS = [1, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
TROUBLE = "child-failure%0.25,failure%0.25"


@dataclass(frozen=True)
class Case:
    """A vendor, what stands in the names of its backends, and settings of its emulator."""

    vendor: Vendor
    options: Sequence[str]
    settings: Mapping[str, Any]


CASES = {
    "ionq": Case(IONQ, ("qpu.forte-1,rows=3", "qpu.forte-1,rows=3,debiasing=on", "qpu.forte-1,gateset=native"), {}),
    "braket": Case(BRAKET, ("garnet", "forte-1,rows=2", "ankaa-3"), {}),
    "simulators": Case(BRAKET, ("sv1",), {}),
    "ibm": Case(IBM, (f"{DEVICE},rows=3", f"{DEVICE},rows=9"), {"usage": "base=1.4,execution=0.0011"}),
}


@contextmanager
def bench(case: Case, folder: Path, **settings: Any) -> Iterator[tuple[VendorEmulator, Store]]:
    """An emulator, and an empty database."""
    store = open_store(str(folder / "q.db"), clock=WallClock())
    with case.vendor.start(replace(case.vendor.quick, **case.settings, **settings)) as emulator:
        yield emulator, store
    store.close()


def open_backend(case: Case, emulator: VendorEmulator, options: str) -> RemoteBackend:
    """A backend on the emulator."""
    return case.vendor.open_backend(options, clock=WallClock(), environment=case.vendor.environment(emulator.root))


def draw_pubs(random: np.random.Generator, number: int) -> list[qorch.Pub]:
    """One or two circuits of any gates, each in three bases, with few shots or many."""
    shots = int(random.choice([500, 2500]))
    return [random_case(random, number + index, shots=shots).pub for index in range(int(random.integers(1, 3)))]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", CASES)
def test_a_quote_is_what_the_ledger_and_the_bill_say(name: str, count: int, tmp_path: Path) -> None:
    """Nothing fails: what was quoted is what is reserved, spent and billed, to the millionth where prices are exact."""
    case, random = CASES[name], np.random.default_rng(1)
    with bench(case, tmp_path) as (emulator, store):
        before, quotes = JobBalance(), []
        for number in range(count):
            backend = open_backend(case, emulator, case.options[number % len(case.options)])
            with qorch.start_run(f"w{number}", backend=backend, db=store, seed=number, progress="off") as run:
                pubs = draw_pubs(random, number)
                quote = run.quote(pubs)
                run.execute(pubs)
            recover_all(case.vendor, store, emulator)
            assert quote.cost is not None
            after = balance_job(store.ledger())
            spent = after.spent_micros - before.spent_micros
            assert quote.cost.low_micros <= spent <= quote.cost.high_micros, (quote, spent)
            quotes.append(quote.cost.is_exact)
            before = after
        assert all(quotes) or name in ("simulators", "ibm")
        assert_books_are_the_bill(store, emulator)
        assert emulator.bill()["total"]["micros"] > 0


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", CASES)
def test_the_ledger_is_the_bill_whatever_fails(name: str, count: int, tmp_path: Path) -> None:
    """Jobs fail, some come in part, some are cancelled in the queue: what is charged for them is what the books say."""
    case, random = CASES[name], np.random.default_rng(2)
    with bench(case, tmp_path, queue="0.05..0.2", faults=TROUBLE, seed=5) as (emulator, store):
        for number in range(count):
            backend = open_backend(case, emulator, case.options[number % len(case.options)])
            with (
                suppress(BackendError),
                qorch.start_run(f"w{number}", backend=backend, db=store, seed=number, progress="off") as run,
                cancelling(case, emulator, case.options[0], share=0.2, seed=number),
            ):
                run.execute(draw_pubs(random, number))
        recover_all(case.vendor, store, emulator)
        assert_books_are_the_bill(store, emulator)
        states = {str(line["state"]) for line in emulator.bill()["jobs"]}
        assert len(states) > 1 or count < 50, "nothing failed"


@contextmanager
def cancelling(case: Case, emulator: VendorEmulator, options: str, *, share: float, seed: int) -> Iterator[None]:
    """Meanwhile somebody else cancels a share of the jobs, at the provider."""
    is_over = threading.Event()
    random = np.random.default_rng(seed)

    seen = {str(job["id"]) for job in emulator.jobs()}

    async def work() -> None:
        nonlocal seen
        backend = open_backend(case, emulator, options)
        await backend.open()
        try:
            while not is_over.is_set():
                new = {str(job["id"]) for job in emulator.jobs()} - seen
                seen |= new
                for job_id in sorted(new):
                    if random.random() < share:
                        with suppress(BackendError):
                            await backend.cancel(job_id)
                await asyncio.sleep(0.01)
        finally:
            await backend.close()

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
