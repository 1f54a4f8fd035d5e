"""Where user code runs: scripts without a guard, notebooks with a running loop, several threads."""

from typing import Any

import pytest

CIRCUIT = """
import qorch
from qiskit.circuit import Parameter, QuantumCircuit

circuit = QuantumCircuit(1)
circuit.ry(Parameter("a"), 0)
pub = qorch.Pub(circuit, [[0.0], [3.141592653589793]], observables=["Z0"], shots=64)
"""

SCRIPT = (
    CIRCUIT
    + """
with qorch.start_run("script", backend="aer", seed=1) as run:
    print(run.execute(pub)[0].values.ravel().tolist())
"""
)

NOTEBOOK = (
    CIRCUIT
    + """
import asyncio

async def cell():
    run = qorch.start_run("notebook", backend="aer", seed=1)
    with run:
        blocking = run.execute(pub)[0].values.ravel().tolist()
        waiting = (await run.aexecute(pub))[0].values.ravel().tolist()
        pending = (await run.submit(pub))[0].values.ravel().tolist()
    print([blocking, waiting, pending])

asyncio.run(cell())
"""
)

THREADS = (
    CIRCUIT
    + """
from concurrent.futures import ThreadPoolExecutor

with qorch.start_run("threads", backend="aer", seed=1) as run:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: run.execute(pub)[0].values.ravel().tolist(), range(24)))
print(results == [[1.0, -1.0]] * 24)
"""
)

IPYTHON = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
result = shell.run_cell(CODE)
result.raise_error()
"""


def test_a_script_needs_no_main_guard(qorch: Any) -> None:
    """Worker processes do not run the user's script again."""
    outcome = qorch.run_python_afresh(SCRIPT)
    assert outcome.code == 0, outcome.err
    assert outcome.out == "[1.0, -1.0]\n"


def test_a_cell_with_a_running_loop_can_block_and_await(qorch: Any) -> None:
    """As in a notebook: execute, aexecute and submit all work inside a running event loop."""
    outcome = qorch.run_python(NOTEBOOK)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{[[1.0, -1.0]] * 3}\n"


def test_an_ipython_cell_works(qorch: Any) -> None:
    """The same in IPython's own shell, where it is installed."""
    pytest.importorskip("IPython")
    outcome = qorch.run_python(f"CODE = {SCRIPT!r}\n{IPYTHON}")
    assert outcome.code == 0, outcome.err
    assert "[1.0, -1.0]" in outcome.out


def test_several_threads_share_a_run(qorch: Any) -> None:
    """Twenty-four calls from eight threads each get their own results."""
    outcome = qorch.run_python(THREADS)
    assert outcome.code == 0, outcome.err
    assert outcome.out == "True\n"
