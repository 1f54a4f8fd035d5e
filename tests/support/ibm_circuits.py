"""What the tests of IBM's circuits and results share: recorded devices, and bodies as IBM's own decoders read them."""

import json
import threading
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import qiskit_ibm_runtime
from ibm_quantum_schemas.executor.version_2_0 import ParamsModel
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from qiskit_ibm_runtime import RuntimeDecoder

from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.circuits.job_body import encode_job
from qorch_providers.ibm.circuits.transpiling import compile_circuit
from qorch_providers.ibm.device import read_device
from qorch_providers.ibm.options import parse_options

RECORDS = Path(qiskit_ibm_runtime.__file__).parent / "fake_provider" / "backends"
KEY = "ab" * 32


class LocalTranspiler:
    """Compiles in this process, which starts sooner."""

    def compile(self, gates, device, options):
        """See ``Transpiler``."""
        return compile_circuit(gates, device=device, options=options)

    def close(self):
        """See ``Transpiler``."""


class GatedTranspiler(LocalTranspiler):
    """Says that it begins to compile, and waits until it may go on."""

    def __init__(self):
        self.is_compiling, self.may_go_on = threading.Event(), threading.Event()

    def compile(self, gates, device, options):
        """See ``Transpiler``."""
        self.is_compiling.set()
        assert self.may_go_on.wait(60)
        return super().compile(gates, device, options)


COMPILER = IsaCompiler(folder=None, transpiler=LocalTranspiler())


def documents(name, *, fractional=False):
    """Configuration and properties of a recorded device, as dictionaries."""
    configuration, properties = (
        msgspec.json.decode((RECORDS / name / f"{kind}_{name}.json").read_bytes()) for kind in ("conf", "props")
    )
    if fractional and "rzz" not in configuration["basis_gates"]:
        for gate in ("rx", "rzz"):
            coupled = [each["qubits"] for each in properties["gates"] if each["gate"] == gate]
            configuration["basis_gates"].append(gate)
            configuration["gates"].append(
                {"name": gate, "parameters": ["theta"], "qasm_def": "", "coupling_map": coupled}
            )
    return configuration, properties


@cache
def device_of(name="fez", *, fractional=False):
    """A recorded device."""
    configuration, properties = map(msgspec.json.encode, documents(name, fractional=fractional))
    return read_device(configuration, properties, has_fractional=fractional)


def recalibrated(**changes):
    """The device after its next calibration: one gate's error is another, or only dates are."""
    configuration, properties = documents("fez")
    properties["last_update_date"] = "2026-11-30T00:00:00+00:00"
    for gate in properties["gates"]:
        for parameter in gate["parameters"]:
            parameter["date"] = "2026-11-30T00:00:00+00:00"
    properties["gates"][0]["parameters"][0] |= changes
    return read_device(msgspec.json.encode(configuration), msgspec.json.encode(properties))


def options_of(text="ibm_fez"):
    """Parsed options."""
    return parse_options(text)


def body_of(request, device, options, *, compiler=COMPILER):
    """The body of a job, as it is sent."""
    return encode_job(request, key=KEY, device=device, options=options, compiler=compiler)


def read_body(body):
    """The measured circuits, their values and the shots of each, as IBM's decoders read them."""
    document = json.loads(body, cls=RuntimeDecoder)
    if document["program_id"] == "sampler":
        return [tuple(pub) for pub in document["params"]["pubs"]]
    program = ParamsModel.model_validate(json.loads(body)["params"]).quantum_program
    circuits = program.circuits.to_python()
    values = [item.circuit_arguments.to_numpy() for item in program.items]
    return [(circuit, rows, program.shots) for circuit, rows in zip(circuits, values, strict=True)]


def compacted(circuit):
    """The circuit on the qubits that it uses, unmeasured; and of each classical bit the qubit there."""
    used = sorted({circuit.find_bit(qubit).index for item in circuit.data for qubit in item.qubits})
    small = QuantumCircuit(len(used))
    measured = {}
    for item in circuit.data:
        places = [used.index(circuit.find_bit(qubit).index) for qubit in item.qubits]
        if item.name == "measure":
            measured[circuit.find_bit(item.clbits[0]).index] = places[0]
        else:
            small.append(item.operation, places)
    return small, [measured[bit] for bit in range(len(measured))]


def probabilities(circuit, values):
    """Of the outcomes of the classical register, ``(R, 2**n)``, at values ``(R, P)`` of the sorted parameters."""
    small, measured = compacted(circuit)
    assert small.num_qubits <= 14, "choose a layout with shorter ways"
    table = [
        Statevector(small.assign_parameters(dict(zip(circuit.parameters, row, strict=True)))).probabilities(measured)
        for row in np.asarray(values)
    ]
    return np.stack(table)
