"""Runs the circuit of cats-vs-dogs on ionq:simulator as a process of its own, and prints what it took as JSON.

``python ionq_latency_driver.py rows|steps COUNT DATABASE [OPTIONS]``: so many independent rows in one call, or so many
training steps of 2,592 rows each, of which every step waits for the one before.
"""

import json
import resource
import sys
from collections import defaultdict

import numpy as np

import qorch
from qorch.bench.shapes import all_shapes
from qorch.model.pub import Pub
from qorch.model.timing import Phase
from qorch.ports.clock import WallClock
from qorch.run.run import Run

SHOTS = 1024
WARM_ROWS = 3000


def main() -> None:
    """See the module."""
    kind, count, database, *options = sys.argv[1:]
    name = ",".join(["ionq:simulator", *options])
    warm_rows = 2 if options else WARM_ROWS
    with qorch.start_run("latency", backend=name, db=database, seed=1, shots=SHOTS) as run:
        pub = all_shapes()[2].pub
        # Templates, connections and memory are there before the clock starts, as in the middle of a training.
        run.execute(pub_of(pub, warm_rows))
        warm_jobs = run.totals.jobs
        before, clock = usage(), WallClock()
        started_ns = clock.monotonic_ns()
        if kind == "rows":
            run.execute(pub_of(pub, int(count)))
        else:
            take_steps(run, pub, int(count))
        wall_seconds = (clock.monotonic_ns() - started_ns) / 1e9
        after = usage()
        run.flush()
        document = {
            "wall_seconds": wall_seconds,
            "cpu_seconds": after - before,
            "rows": run.totals.rows_executed - warm_rows,
            "warm_jobs": warm_jobs,
            "phases": {part.phase: part.seconds for part in run.report().phases},
            "unseen_seconds": unseen_seconds(run),
            "calls": dict(run.backend.calls),  # type: ignore[attr-defined]
        }
    print(json.dumps(document))


def pub_of(pub: Pub, n_rows: int) -> Pub:
    """So many rows of random angles of the same circuit."""
    values = np.random.default_rng(2).uniform(-np.pi, np.pi, (n_rows, pub.parameter_values.shape[1]))
    return Pub(pub.circuit, values, observables=pub.observables)


def take_steps(run: Run, pub: Pub, count: int) -> None:
    """Gradient descent on the sum of all values: every step's rows depend on the results of the last."""
    values = pub.parameter_values
    for step in range(count):
        with run.step(step):
            gradient = run.gradient(Pub(pub.circuit, values, observables=pub.observables))
        values = values - 0.01 * gradient.values.sum(axis=1)


def unseen_seconds(run: Run) -> list[float]:
    """Per job: how long it was done and not yet seen."""
    lags: dict[str, float] = defaultdict(float)
    for record in run._use.store.spans(run.run_id):
        if record.span.phase is Phase.POLL:
            lags[str(record.span.job_id)] += record.span.seconds
    return list(lags.values())


def usage() -> float:
    """CPU seconds of this process so far, in user and system mode."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
