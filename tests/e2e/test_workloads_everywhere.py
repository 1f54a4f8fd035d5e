"""Every workload takes two steps at every provider's emulator, on a mock and on Aer, as it was quoted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from braket_vendor import BRAKET
from ibm_vendor import DEVICE, IBM
from idx_files import write_mnist
from ionq_vendor import IONQ
from made_photographs import make_photographs
from vendors import Vendor, VendorEmulator

from qorch.workloads import WORKLOADS

COMMON = ("--epochs", "1", "--shots", "20", "--gradient", "parameter-shift")
SMALL = {
    "digits": ("--limit", "20", "--batch-size", "8"),
    "qnn-mnist": ("--limit", "8", "--batch-size", "4", "--layers", "0", "--classes", "3,6"),
    "quantum-train": ("--limit", "40", "--batch-size", "16", "--blocks", "1"),
    "cats-vs-dogs": ("--limit", "20", "--batch-size", "8"),
    "qrnn-ks": ("--limit", "10", "--batch-size", "4", "--window", "2"),
    "encoder-mnist": ("--limit", "10", "--batch-size", "4", "--autoencoder-epochs", "1", "--wires", "5"),
}
"""Two steps each, of few and small circuits."""
ONE_STEP_BACK = ("--window", "1")
"""For `qrnn-ks` at IBM, which takes five submissions a minute: those of two steps and a test then."""
PROFILE = """description = "nothing takes long"
[latencies]
network = { seconds = "0.001", source = "a test" }
queue = { seconds = "0.001", source = "a test" }
execution = { seconds = "0.001", source = "a test" }
"""
TARGETS = {"ionq": "simulator", "braket": "garnet", "ibm": DEVICE}
REAL = pytest.mark.parametrize("vendor", [IONQ, BRAKET, IBM], ids=lambda vendor: vendor.name, indirect=True)
EACH = pytest.mark.parametrize("workload", WORKLOADS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with photographs and MNIST, which all trainings find."""
    folder = tmp_path_factory.mktemp("data")
    write_mnist(folder / "mnist")
    return make_photographs(folder)


@pytest.fixture(scope="module")
def vendor(request: pytest.FixtureRequest) -> Iterator[tuple[Vendor, VendorEmulator]]:
    """A vendor with the emulator that all workloads share."""
    with request.param.start(request.param.quick) as emulator:
        yield request.param, emulator


def train(typed: Any, workload: str, backend: str, data: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The documents of the quote and of the training."""
    last = ONE_STEP_BACK if workload == "qrnn-ks" and backend.startswith("ibm") else ()
    arguments = (workload, *SMALL[workload], *last, *COMMON, "--backend", backend, "--json")
    quote = typed("quote", *arguments).document
    return quote, typed("train", *arguments, "--data-dir", str(data)).document


@EACH
@REAL
def test_two_steps_at_a_provider(
    typed: Any, data: Path, monkeypatch: pytest.MonkeyPatch, vendor: tuple[Vendor, VendorEmulator], workload: str
) -> None:
    """The executions and jobs are those that were quoted, and the emulator has each job once."""
    provider, emulator = vendor
    for variable, value in provider.environment(emulator.root).items():
        monkeypatch.setenv(variable, value)
    before = len(emulator.jobs())
    quote, trained = train(typed, workload, f"{provider.name}:{TARGETS[provider.name]}", data)
    assert trained["steps"] == 2
    assert (trained["rows_executed"], trained["jobs"]) == (quote["rows"], quote["jobs"])
    assert len(emulator.jobs()) - before == trained["jobs"]


@EACH
@pytest.mark.parametrize("backend", ["mock:ionq.qpu.forte-1,profile=quick.toml", "aer"], ids=["mock", "aer"])
def test_two_steps_on_this_machine(typed: Any, data: Path, backend: str, workload: str) -> None:
    """The same on a mock and on Aer."""
    (typed.folder / "quick.toml").write_text(PROFILE)
    quote, trained = train(typed, workload, backend, data)
    assert trained["steps"] == 2
    assert trained["rows_executed"] == quote["rows"]
