"""Runs training programs again and again, each life in a fork of a process that has imported everything; kills some.

A line of JSON on standard input is a life: ``program`` (a file), ``db``, ``out`` (where the digest of the final weights
goes), and ``kill_seconds`` or ``kill_log`` (killed after so long, or after so many numbers were logged).
"""

import gc
import hashlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numba
import qiskit  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401
import torch
import torch._dynamo  # noqa: F401

import qorch
import qorch.torch
import qorch.wiring
import qorch_jobs_db.sqlite  # noqa: F401
import qorch_providers.local  # noqa: F401


def kill_at_log(number: int) -> None:
    """`kill -9` by itself, right after so many calls of `run.log`."""
    log, left = qorch.Run.log, number

    def counted(run: qorch.Run, *metrics: Any, **more: Any) -> None:
        nonlocal left
        log(run, *metrics, **more)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    qorch.Run.log = counted  # type: ignore[method-assign]


def live(life: dict[str, Any]) -> None:
    """One life, from the first line of the program to the last."""
    source = Path(life["program"]).read_text()
    os.environ["QORCH_DB"] = life["db"]
    if life.get("kill_log"):
        kill_at_log(life["kill_log"])
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "program.py", "exec"), names)  # noqa: S102
    weights = hashlib.sha256()
    for tensor in names["model"].state_dict().values():
        weights.update(tensor.numpy().tobytes())
    Path(life["out"]).write_text(weights.hexdigest())


def spawn(life: dict[str, Any]) -> int:
    """Live in a fork; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(2, 1)
        live(life)
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Answer every life with its exit code and its seconds."""
    numba.njit(lambda: 0)()  # the compiler loads itself with the first function
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all that is loaded
    for line in sys.stdin:
        life = json.loads(line)
        begun = time.monotonic()
        child = spawn(life)
        timer = threading.Timer(life.get("kill_seconds") or 200.0, os.kill, (child, signal.SIGKILL))
        timer.start()
        _, status = os.waitpid(child, 0)
        timer.cancel()
        timer.join()
        answer = {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - begun}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
