"""Whether the books of a database are whole, and say what an emulator charges by its own account."""

import os
import time
from contextlib import closing
from unittest.mock import patch

from vendors import Vendor, VendorEmulator

from qorch.audit.verification import verify_books
from qorch.config import read_config
from qorch.model.ledger import balance_job
from qorch.ports.clock import WallClock
from qorch.ports.store import Store
from qorch.recovery import recover_runs, recover_usage
from qorch.stores import open_store

LONGEST_SECONDS = 60.0


def recover_all(vendor: Vendor, store: Store, emulator: VendorEmulator) -> None:
    """Finish what runs left at the provider, and ask until everything is told that jobs were charged for."""
    with patch.dict(os.environ, vendor.environment(emulator.root)):
        config, clock = read_config(), WallClock()
        left = list(dict.fromkeys(job.run_id for job in store.open_jobs()))
        assert [each for each in recover_runs(store, left, config=config, clock=clock) if each.problem] == []
        deadline = time.monotonic() + LONGEST_SECONDS
        while store.jobs_without_usage():
            assert time.monotonic() < deadline, store.jobs_without_usage()
            assert [each for each in recover_usage(store, config=config, clock=clock) if each.problem] == []


def assert_books_are_the_bill(store: Store, emulator: VendorEmulator) -> None:
    """The ledger is whole; what it says that jobs cost is what the emulator charges; nothing stays reserved."""
    assert verify_books(store).findings == ()
    bill = emulator.bill()
    charged = {str(line["id"]): _micros(line["amount"]) for line in bill["jobs"]}
    spent = {}
    for job in store.jobs():
        balance = balance_job(store.job_ledger(job.job_id))
        assert balance.reserved_micros == 0, job
        if job.provider_id is None:
            assert balance.spent_micros == 0, job
        else:
            spent[job.provider_id] = balance.spent_micros
    assert spent == charged
    assert balance_job(store.ledger()).spent_micros == bill["total"]["micros"]


def assert_settled(vendor: Vendor, db: str, emulator: VendorEmulator) -> None:
    """The same once everything was asked that `qorch recover` asks."""
    with closing(open_store(db, clock=WallClock())) as store:
        recover_all(vendor, store, emulator)
        assert_books_are_the_bill(store, emulator)


def _micros(amount: object) -> int:
    assert isinstance(amount, dict)
    return int(amount["micros"])
