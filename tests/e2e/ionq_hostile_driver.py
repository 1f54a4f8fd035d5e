"""Meets bombs, deep JSON and ids that are paths, as a process of its own: ``python ionq_hostile_driver.py DATABASE``.

EMULATOR is an emulator's URL, TRAVERSAL that of a server whose job ids lead elsewhere. Prints one JSON line: how every
flow ended, and by how many bytes the process grew at most.
"""

import json
import os
import resource
import sys

import httpx
import numpy as np

import qorch
from qorch.backends import open_backend
from qorch.config import Config
from qorch.errors import QorchError
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.pub import Pub
from qorch.ports.clock import WallClock

KINDS = ("gzip-bomb", "deep-json")
ROUTES = ("post", "list", "get", "results")


def main() -> None:
    """See the module."""
    emulator = os.environ["EMULATOR"]
    endings = {"warm-up": run_rows(emulator)}
    before = most_bytes()
    for kind in KINDS:
        for route in ROUTES:
            set_faults(emulator, f"{route}:{kind}-after@1")
            endings[f"{route} {kind}"] = run_rows(emulator)
    set_faults(emulator, "")
    endings["traversal"] = run_rows(os.environ["TRAVERSAL"])
    print(json.dumps({"endings": endings, "grown_bytes": most_bytes() - before}))


def run_rows(url: str) -> str:
    """Two jobs of one call on a database that all flows share; how it ended."""
    gates = build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))])
    pub = Pub(free_circuit(gates), np.linspace(0, 1, 4)[:, np.newaxis], observables=["Z0"], shots=100)
    config = Config(sys.argv[1], environment={"IONQ_API_URL": url, "IONQ_API_KEY": "dummy"})
    options = "ionq:simulator,rows=2,settle=0.2,on_unknown=hold"
    try:
        with qorch.start_run("hostile", backend=open_backend(options, config=config, clock=WallClock())) as run:
            run.execute(pub)
    except QorchError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def set_faults(url: str, text: str) -> None:
    """Tell the emulator."""
    httpx.post(url.replace("/v0.4", "/_emulator/faults"), json={"faults": text}).raise_for_status()


def most_bytes() -> int:
    """The largest size that this process ever had in memory."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


if __name__ == "__main__":
    main()
