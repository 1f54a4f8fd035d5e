"""Runs forty flows with every logger at DEBUG, as a process of its own: ``python ionq_secrets_driver.py FOLDER``.

IONQ_API_KEY is the canary; EMULATOR and ECHO are the URLs of an emulator and of a server that puts the key into
everything it says. Prints one JSON line: how every flow ended.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np
from fast_clock import FastClock

import qorch
from qorch.cli.main import run_command
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.pub import Pub

SPEED = 10.0
"""How much faster than real the flows' own waits pass."""
ECHO_OPTIONS = "simulator,settle=1,deadline=10,on_unknown=hold"
LOGGERS = ("", "qorch", "httpx", "httpcore", "aiohttp", "asyncio", "sqlalchemy", "sqlalchemy.engine",
           "sqlalchemy.pool", "alembic", "tenacity", "qorch.retries")  # fmt: skip
FAULTS = (
    "", "post:reset-before@1", "post:reset-after@1", "post:429-before@1", "post:500-before@1", "post:502-after@1",
    "post:503-before@1", "post:520-after@1", "post:hang-after@1", "post:drip-after@1", "post:truncated-after@1",
    "post:malformed-after@1", "post:html-after@1", "post:deep-json-after@1", "post:token-expiry", "list:token-expiry",
    "get:500@1", "get:malformed@1", "results:nan", "results:html@1", "results:wrong-rows", "results:truncated@1",
    "post:failure", "post:child-failure@1",
)  # fmt: skip
ECHOES = ("name", "failed", "400", "401", "403", "404", "429", "201", "302", "500")
COMMANDS = (
    ("backends", "--json"), ("doctor", "--json"), ("runs", "--json"), ("jobs", "--json"), ("show", "latest", "--json"),
    ("report", "latest", "--json"), ("report", "latest"), ("recover", "--json"), ("cache", "stats", "--json"),
    ("train", "digits", "--backend", "ionq:simulator", "--limit", "20", "--epochs", "1", "--debug"),
    ("train", "digits", "--backend", "ionq:qpu.nothing", "--limit", "20", "--debug"),
)  # fmt: skip
BAD_URLS = (
    "http://api.ionq.co/v0.4", "https://user:{key}@127.0.0.1/v0.4", "http://127.0.0.1:9/v0.4?token={key}",
    "http://127.0.0.1/{key}/../v0.4", "{key}",
)  # fmt: skip


def main() -> None:
    """See the module."""
    folder = Path(sys.argv[1])
    listen_to_everything(folder / "debug.log")
    key = os.environ["IONQ_API_KEY"]
    endings: dict[str, str] = {}
    for number, fault in enumerate(FAULTS):
        # Flows that end in a closed account or a failed job must not be the run that the next one resumes.
        set_faults(fault)
        deadline = 0.5 if "hang" in fault or "drip" in fault else 10.0
        options = f"simulator,settle=1,deadline={deadline}" + (",on_unknown=hold" if number % 2 else "")
        endings[f"fault {fault}"] = attempt(partial(run_rows, options, os.environ["EMULATOR"]))
    set_faults("")
    for echo in ECHOES:
        # A database of its own: what one refusal makes the account wait does not add up.
        with environment(QORCH_DB=str(folder / f"echo-{echo}.db")):
            url = f"{os.environ['ECHO']}/{echo}"
            endings[f"echo {echo}"] = attempt(partial(run_rows, ECHO_OPTIONS, url))
    for url in BAD_URLS:
        endings[f"url {url}"] = attempt(partial(run_rows, "simulator", url.format(key=key)))
    for bad_key in (f"{key}\r\nX-Other: y", f"{key}é", ""):
        with environment(IONQ_API_KEY=bad_key):
            endings[f"key {len(bad_key)}"] = attempt(partial(run_rows, "simulator", os.environ["EMULATOR"]))
    with environment(IONQ_API_URL=os.environ["EMULATOR"]):
        for command in COMMANDS:
            endings[" ".join(command)] = f"exit {run_command(command)}"
    sys.stdout.write("\n" + json.dumps(endings) + "\n")
    sys.stdout.flush()
    leave_in_the_middle()


def leave_in_the_middle() -> None:
    """End as a crash would, with a write-ahead log beside the database."""
    with environment(IONQ_API_URL=os.environ["EMULATOR"]):
        qorch.start_run("secrets", backend="ionq:simulator").execute(pub_of_rows())
        os._exit(0)


def listen_to_everything(path: Path) -> None:
    """Write the records of all loggers to a file, whatever their levels were."""
    logging.basicConfig(
        filename=path, level=logging.DEBUG, format="%(asctime)s %(name)s %(levelname)s %(message)s %(args)r"
    )
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)


def set_faults(text: str) -> None:
    """Tell the emulator."""
    httpx.post(os.environ["EMULATOR"].replace("/v0.4", "/_emulator/faults"), json={"faults": text}).raise_for_status()


def attempt(flow: Callable[[], None]) -> str:
    """Run a flow; its traceback goes to stderr, and its name is returned."""
    logging.getLogger(__name__).info("the next flow begins")
    try:
        flow()
    except Exception as error:
        traceback.print_exc()
        print(repr(error), error.__dict__, file=sys.stderr)
        return type(error).__name__
    return "done"


def run_rows(options: str, url: str) -> None:
    """Two small jobs of one call, and the run's report and repr on stdout."""
    backend, clock = f"ionq:{options},rows=2", FastClock(SPEED)
    with environment(IONQ_API_URL=url), qorch.start_run("secrets", backend=backend, clock=clock) as run:
        run.execute(pub_of_rows())
        print(run.report(), run, run.backend, vars(run.backend))


def pub_of_rows() -> Pub:
    """Four rows of one qubit."""
    gates = build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))])
    return Pub(free_circuit(gates), np.linspace(0, 1, 4)[:, np.newaxis], observables=["Z0"], shots=100)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Other variables for a while."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    main()
