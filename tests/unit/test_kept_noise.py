"""Noise models of fake devices are kept between processes, and built again if what is kept cannot be trusted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit_aer.noise import NoiseModel, QuantumError, amplitude_damping_error

from qorch_providers.aer_engine import noise
from qorch_providers.aer_engine.kept_noise import NoiseTable, decode_table, encode_table, kept_file, load_or_build


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


class Building:
    """Counts how often a model is built."""

    def __init__(self) -> None:
        """Never yet."""
        self.times = 0
        self.error = QuantumError(amplitude_damping_error(0.1 / 3)).to_dict()

    def __call__(self) -> NoiseTable:
        """Build a small one, whose error is a matrix of complex numbers."""
        self.times += 1
        return self.model()

    def model(self) -> NoiseTable:
        """The model, not counted."""
        kraus = self.error | {"operations": ["x"], "gate_qubits": [(1,)]}
        return NoiseTable(["cx", "id"], [kraus, {"type": "roerror", "probabilities": [[1 - 1e-17, 0.1], [0.2, 0.8]]}])


def as_plain(item: Any) -> Any:
    """Tuples as lists, arrays as their bytes."""
    if isinstance(item, dict):
        return {key: as_plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [as_plain(value) for value in item]
    return (item.shape, item.astype(complex).tobytes()) if isinstance(item, np.ndarray) else item


def test_every_bit_is_kept() -> None:
    """Of real numbers and of complex matrices; Aer takes what comes back."""
    table = Building()()
    back = decode_table(encode_table(table))
    assert as_plain(back.errors) == as_plain(table.errors)
    assert back.basis_gates == table.basis_gates
    QuantumError.from_dict(back.errors[0])


def test_a_model_is_built_once() -> None:
    """And again with other data of the device, or if the file is damaged."""
    build = Building()
    file = kept_file("fake_x", digest=b"1")
    assert file is not None
    for _ in range(2):
        assert as_plain(load_or_build(file, build).errors) == as_plain(build.model().errors)
    assert build.times == 1
    other = kept_file("fake_x", digest=b"2")
    assert other != file
    for damaged in (b"", file.read_bytes()[:-1], file.read_bytes().replace(b"0.8", b"0.9")):
        file.write_bytes(damaged)
        times = build.times
        load_or_build(file, build)
        assert build.times == times + 1


def test_a_folder_that_others_can_write_is_not_trusted(cache: Path) -> None:
    """The model is then built in every process."""
    file = kept_file("fake_x", digest=b"1")
    assert file is not None
    file.parent.chmod(0o777)
    assert kept_file("fake_x", digest=b"1") is None
    build = Building()
    for _ in range(2):
        load_or_build(None, build)
    assert build.times == 2
    assert not list(cache.rglob("*.json"))


def test_a_kept_device_has_the_noise_that_qiskit_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time nothing is built."""
    first = noise.Noise("fake_manila", digest=b"m")
    whole = NoiseModel.from_backend(noise.load_device("fake_manila"))
    for error in (plain := as_plain(whole.to_dict()["errors"])):
        error.pop("id", None)
    monkeypatch.setattr(noise.NoiseModel, "from_backend", None)
    second = noise.Noise("fake_manila", digest=b"m")
    for one in (first, second):
        kept = as_plain(one._errors)
        for error in kept:
            error.pop("id", None)
        assert kept == plain
        assert sorted(one._basis_gates) == sorted(whole.basis_gates)
