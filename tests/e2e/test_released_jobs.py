"""What a killed process had reserved and never sent: every command that ends it gives the money back."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from paid_run import make_entry, make_paid_job, make_paid_run

from qorch.model.job import JobState
from qorch.model.ledger import EntryKind
from qorch.ports.clock import WallClock
from qorch.stores import open_store


@pytest.mark.parametrize("command", [["recover"], ["cancel", "cats"], ["delete", "cats", "--force", "--yes"]])
def test_nothing_stays_reserved_for_jobs_that_were_never_sent(typed: Any, command: list[str]) -> None:
    """Killed between reservation and submission: the money is free again, without a key and without a provider."""
    run = replace(make_paid_run(), state="running")
    job = make_paid_job(run.run_id, 0, 0, JobState.RESERVED, provider_id=None)
    with closing(open_store(str(typed.database), clock=WallClock())) as store:
        store.write([run, job, make_entry(job, EntryKind.RESERVED, 3_000_000)]).result()
    ended = typed(*command)
    assert ended.code == 0, ended
    with closing(open_store(str(typed.database), clock=WallClock())) as store:
        assert [(each.reserved_micros, each.spent_micros) for each in store.ledger_balances()] == [(0, 0)]
        assert [each.state for each in store.jobs()] == [JobState.CANCELLED]
