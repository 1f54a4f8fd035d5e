"""A process that buys on a database which others use, too: for each line on standard input, a round of calls."""

import asyncio
import json
import sys
from contextlib import closing

import numpy as np
from simulation.harness import CENT_A_SHOT, pub_of

from qorch.engine.engine import Engine
from qorch.engine.planner import Call
from qorch.engine.recorder import Recorder
from qorch.errors import BudgetError
from qorch.model.budget import Budget
from qorch.model.identity import Position
from qorch.model.money import Money
from qorch.model.pub import as_batch
from qorch.planning.budgets import Buyer, applied_budgets
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.ports.records import RunRecord
from qorch.testing.fakes.provider import FakeProvider
from qorch.testing.fakes.remote import PAID, FakeRemote
from qorch_jobs_db import SqlStore, open_store

JOB_MICROS = 200_000
"""Of a job of one row with 20 shots."""


async def buy(store: SqlStore, me: str, *, calls: int, most_jobs: int) -> dict[str, int]:
    """Calls of one job each, all at once; how many of them were accepted, and how many refused."""
    clock = WallClock()
    store.write([RunRecord(me, me, "fake:remote", 1, "resume", clock.now())]).result()
    remote = FakeRemote(FakeProvider(clock), clock, capabilities=PAID)
    scope = Budget(limit=Money("USD", most_jobs * JOB_MICROS), name="all")
    engine = Engine(
        remote,
        store,
        clock=clock,
        policy=RunPolicy(),
        recorder=Recorder(clock),
        run_id=me,
        random=np.random.default_rng(1),
        budgets=applied_budgets(None, [scope], Buyer(me, me, remote.name, remote.terms.account)),
        card=CENT_A_SHOT,
    )
    await engine.open()
    batch = as_batch(pub_of(1))
    ended = await asyncio.gather(
        *(engine.execute(Call(me, 1, Position(0, number), batch, None)) for number in range(calls)),
        return_exceptions=True,
    )
    await engine.close()
    refused = [error for error in ended if isinstance(error, BudgetError)]
    done = [result for result in ended if not isinstance(result, BaseException)]
    return {"accepted": len(remote.provider.jobs), "refused": len(refused), "done": len(done)}


def main() -> None:
    """A round for each line: the database, the name of this run, how many calls, and the budget in jobs."""
    for line in sys.stdin:
        place, me, calls, most_jobs = json.loads(line)
        with closing(open_store(place, clock=WallClock())) as store:
            print(json.dumps(asyncio.run(buy(store, me, calls=calls, most_jobs=most_jobs))), flush=True)


if __name__ == "__main__":
    main()
