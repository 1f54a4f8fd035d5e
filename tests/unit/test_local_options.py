"""Options of the local backend, and what it says where something cannot be."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from local_circuits import open_local, run_vjp

from qorch import machine
from qorch.errors import CircuitError, UnknownNameError, UsageError
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.measurement import Measurement
from qorch.model.pub import Pub
from qorch_providers.local import limits
from qorch_providers.local.options import Noise, Options, parse_options


def test_options_are_read() -> None:
    """Several options in any order."""
    text = "readout=0.02, engine=numba,precision=float64,depolarizing=1e-3"
    assert parse_options(text) == Options("numba", precision="float64", noise=Noise(1e-3, 0.02))
    assert parse_options("") == Options()


def test_unknown_options_name_the_choices() -> None:
    """Also for values that no option has."""
    for text in ("gpu", "engine=jax", "precision=float16", "noise=fake_fez"):
        with pytest.raises(UnknownNameError, match=r"cuda, engine=numba\|torch, precision"):
            parse_options(text)


@pytest.mark.parametrize("text", ["readout=2", "depolarizing=-0.1", "readout=often", "cuda,engine=numba"])
def test_impossible_values_are_usage_errors(text: str) -> None:
    """Probabilities outside 0 to 1, and engines that do not go together."""
    with pytest.raises(UsageError):
        parse_options(text)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_one_sentence() -> None:
    """At opening, before anything runs."""
    with pytest.raises(UsageError, match="needs a CUDA device, and torch finds none"):
        open_local("cuda")


def test_memory_bounds_the_qubits(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 GiB hold 31 qubits in float32; for 34 the sentence says what is missing."""
    monkeypatch.setattr(machine, "memory_bytes", lambda: 24 << 30)
    backend = open_local()
    assert backend.capabilities.max_qubits == 31
    gates = build_gate_list(34, [])
    with pytest.raises(CircuitError, match=r"34 qubits.*128 GiB.*24 GiB, enough for 31 qubits"):
        backend.check(gates, Measurement(np.zeros(34, dtype=np.uint8), is_exact=False))
    with pytest.raises(CircuitError, match=r"34 qubits"):
        run_vjp(backend, Pub(free_circuit(gates), observables=["Z0"]), np.zeros((1, 1)))


def test_torch_and_noise_need_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws are looked up in counts, and so do the copies that torch makes."""
    monkeypatch.setattr(machine, "memory_bytes", lambda: 200 << 20)
    found = {
        options: open_local(options).capabilities.max_qubits
        for options in ("", "readout=0.1", "depolarizing=0.1", "engine=torch")
    }
    assert found == {"": 24, "readout=0.1": 24, "depolarizing=0.1": 22, "engine=torch": 22}
    parities = Measurement(np.zeros(22, dtype=np.uint8), is_exact=True, masks=np.ones(1, dtype=np.uint64))
    open_local().check(build_gate_list(22, []), parities)
    with pytest.raises(CircuitError, match="enough for 21 qubits"):
        open_local("engine=torch").check(build_gate_list(22, []), parities)


def test_the_torch_engine_names_its_largest_sample() -> None:
    """Draws of 32 bits are too coarse beyond 24 qubits: said before a job is made, and not for exact values."""
    backend = open_local("engine=torch")
    gates, basis = build_gate_list(25, []), np.zeros(25, dtype=np.uint8)
    assert backend.capabilities.max_qubits <= 24
    with pytest.raises(CircuitError, match="25 qubits; the torch engine of local:engine=torch samples up to 24"):
        backend.check(gates, Measurement(basis, is_exact=False))


def test_contexts_differ_with_what_changes_results() -> None:
    """Engine, precision and noise; never the circuit."""
    gates = build_gate_list(2, [])
    texts = ["", "precision=float64", "precision=float32", "engine=torch", "readout=0.1", "depolarizing=0.1"]
    contexts = [open_local(text).context(gates) for text in texts]
    assert len(set(contexts)) == len(texts)
    assert open_local().context(build_gate_list(3, [])) == contexts[0]


def test_jobs_stay_within_their_limits() -> None:
    """A distribution of many outcomes means few rows, and a small circuit the most that a job may have."""
    basis = np.zeros(20, dtype=np.uint8)
    backend = open_local()
    many = Measurement(basis, is_exact=True)
    assert backend.rows_per_job(build_gate_list(20, []), many, shots=None) <= 8
    few = replace(many, basis=basis[:4], is_exact=False)
    assert backend.rows_per_job(build_gate_list(4, []), few, shots=16) == limits.MAX_ROWS_PER_JOB


WITHOUT_NUMBA = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "numba" else found(name, *rest)
from qorch.ports.clock import WallClock
from qorch_providers.local import open_backend
backend = open_backend("", clock=WallClock())
print("torch" in sys.modules, "numba" in sys.modules)
try:
    open_backend("engine=numba", clock=WallClock())
except Exception as error:
    print(type(error).__name__, error)
"""
BROKEN_NUMBA = """
import sys
from qorch.errors import MissingPackageError
from qorch.ports.clock import WallClock
from qorch_providers.local import open_backend
backend = open_backend("", clock=WallClock())
print(type(backend._engine).__name__)
for options in ("engine=numba", "readout=0.1"):
    try:
        open_backend(options, clock=WallClock())
    except MissingPackageError as error:
        print(error)
from qorch.cli.health import check_extras
print([finding for finding in check_extras() if finding.name == "extra fast"])
"""
WITH_NUMBA = """
import sys
from qorch.ports.clock import WallClock
from qorch_providers.local import open_backend
open_backend("", clock=WallClock())
print("torch" in sys.modules, "numba" in sys.modules)
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [(WITHOUT_NUMBA, ["True False", "MissingPackageError", "qorch[fast]"]), (WITH_NUMBA, ["False True"])],
)
def test_each_engine_loads_its_own_package_alone(script: str, expected: list[str]) -> None:
    """Without numba torch serves, and asking for numba gives the pip line; with it torch is not loaded."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert all(text in done.stdout for text in expected)


@pytest.mark.parametrize("trouble", ["cannot be imported (Numba needs NumPy 1.0)", "while NUMBA_DISABLE_JIT is set"])
def test_a_numba_that_does_not_work_is_said_once_and_torch_serves(trouble: str, tmp_path: Path) -> None:
    """Installed beside a numpy it does not know, or turned off: one line, and an error where nothing else will do."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    paths = list(filter(None, sys.path))
    if "import" in trouble:
        (tmp_path / "numba").mkdir()
        (tmp_path / "numba" / "__init__.py").write_text("raise ImportError('Numba needs NumPy 1.0')", encoding="utf-8")
        paths.insert(0, str(tmp_path))
        del environment["NUMBA_DISABLE_JIT"]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_NUMBA], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "TorchEngine"
    assert done.stderr.count("the local backend runs on torch") == done.stderr.count(trouble) == 1
    assert all(line.startswith("this needs numba, which ") and trouble in line for line in lines[1:3])
    assert "warn" in lines[3]
    assert trouble in lines[3]
