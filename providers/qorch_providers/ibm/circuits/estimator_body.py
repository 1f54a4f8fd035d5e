"""What a job of the estimator is sent: a PUB for each block, with all its rows and all its observables.

The bases are the service's choice: it measures what commutes qubit by qubit together, as ``PauliSums.bases`` counts it.
Every PUB leaves its precision open and the job gives ``default_shots``, which IBM takes for each row in each basis, and
for each noise factor: just what qorch calls shots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from qorch.model.arrays import FloatArray
from qorch.model.pauli_sums import NO_LETTER, PauliSums
from qorch_providers.ibm.circuits.isa import IsaCircuit, write_qpy
from qorch_providers.ibm.circuits.values import array_value, circuit_value, pack
from qorch_providers.ibm.mitigation import Mitigation

_KEPT = 64
_LETTERS = "ZXY"


@dataclass(frozen=True, eq=False)
class EstimatedRows:
    """Rows ``values (R, P)`` of a compiled circuit, and the sums of which values are asked."""

    isa: IsaCircuit
    sums: PauliSums
    values: FloatArray


def estimator_params(
    pubs: Sequence[EstimatedRows], options: dict[str, Any], *, mitigation: Mitigation
) -> dict[str, Any]:
    """What EstimatorV2 of qiskit-ibm-runtime sends. ``options``: shots, decoupling and twirling, as the sampler's."""
    return {
        "pubs": [
            [
                circuit_value(_packed_circuit(pub.isa)),
                observables_on(pub.isa, pub.sums),
                # Rows run along the first axis and observables along the second one.
                array_value(pub.values[:, None, :]),
                None,
            ]
            for pub in pubs
        ],
        "options": options | {"resilience": mitigation.resilience},
        "resilience_level": mitigation.level,
        "version": 2,
        "support_qiskit": True,
    }


def observables_on(isa: IsaCircuit, sums: PauliSums) -> list[dict[str, float]]:
    """The sums on the device's qubits: coefficients by label, the rightmost letter for physical qubit 0."""
    found: list[dict[str, float]] = [{} for _ in range(len(sums))]
    n_physical = isa.circuit.num_qubits
    for letters, coefficient, place in zip(
        sums.letters.tolist(), sums.coefficients.tolist(), sums.sum_of_string.tolist(), strict=True
    ):
        label = ["I"] * n_physical
        for physical, letter in zip(isa.layout, letters, strict=True):
            if letter != NO_LETTER:
                label[n_physical - 1 - physical] = _LETTERS[letter]
        found[place]["".join(label)] = coefficient
    return found


@lru_cache(maxsize=_KEPT)
def _packed_circuit(isa: IsaCircuit) -> str:
    """Not measured: that is the estimator's part."""
    return pack(write_qpy([isa.circuit]))
