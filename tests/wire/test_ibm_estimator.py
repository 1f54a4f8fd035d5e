"""IBM's estimator: what mitigation is asked for, observables on the device's qubits, limits, results with errors."""

import asyncio
import json

import numpy as np
import pytest
from damaged_json import CHANGES, changed, places
from ibm_circuits import COMPILER, body_of, device_of, options_of
from ibm_vendor import DEVICE, environment
from ionq_circuits import block_of, gate_list, request_of
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder
from qiskit_ibm_runtime.options import EstimatorOptions
from qiskit_ibm_runtime.results import EstimatorPubResult

import qorch
from qorch.errors import CircuitError, InvalidResultError, ShotsError, UnknownNameError, UsageError
from qorch.model.circuit import free_circuit
from qorch.model.job import RawResult
from qorch.model.verification import verify_result
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import block_of as estimated_block
from qorch.testing.conformance.backend import entangled_pair, estimates_of, sums_of
from qorch.testing.conformance.estimates import worst_sigmas
from qorch.testing.fakes.store import MemoryStore
from qorch_providers.emulators.ibm import IbmSettings, start
from qorch_providers.emulators.ibm.devices import read_devices
from qorch_providers.emulators.ibm.programs.running import PROGRAMS
from qorch_providers.ibm import open_backend
from qorch_providers.ibm.circuits.job_body import measure_usage
from qorch_providers.ibm.circuits.limits import rows_per_job
from qorch_providers.ibm.results.reading import read_answer

FEZ = device_of()
GATES = gate_list(3, ("ry", (0,), (None,)), ("cx", (0, 1), ()), ("rx", (2,), (None,)), ("rzz", (1, 2), (0.7,)))
SUMS = ("Z0", "X1", "0.5*Z0 Y2 - 2*X1 + Z2")
UNMITIGATED = {"measure_mitigation": False, "zne_mitigation": False}
READOUT = {"measure_mitigation": True, "zne_mitigation": False}


def block(n_rows=2, *, shots=64, sums=SUMS, gates=GATES):
    """Rows with estimated sums."""
    angles = np.random.default_rng(n_rows).uniform(-3, 3, (n_rows, gates.n_columns))
    return estimated_block(gates, angles, shots=shots, sums=sums_of(*sums, n_qubits=gates.n_qubits))


def params_of(text, *blocks):
    """What a job of these blocks gives the program, and which one."""
    body = json.loads(body_of(request_of(*(blocks or (block(),))), FEZ, options_of(f"ibm_fez,{text}")))
    return body["program_id"], body["params"]


@pytest.mark.parametrize("layout", ["24-21-23", "3-1-0"])
def test_rows_and_observables_are_what_ibms_client_would_send(layout):
    """IBM's decoder and Qiskit's own PUB take them; observables are those that Qiskit lays out, rows in their order."""
    text = f"program=estimator,layout={layout}"
    asked = block(4)
    program, params = params_of(text, asked)
    assert program == "estimator"
    circuit, observables, values, precision = json.loads(json.dumps(params["pubs"][0]), cls=RuntimeDecoder)
    pub = EstimatorPub.coerce((circuit, observables, values))
    assert precision is None
    assert pub.shape == (4, 3)
    assert circuit.clbits == []
    isa = COMPILER.compile(GATES, device=FEZ, options=options_of(f"ibm_fez,{text}"))
    np.testing.assert_array_equal(pub.parameter_values.as_array(circuit.parameters)[:, 0, :], isa.values(asked.angles))
    wanted = [
        SparsePauliOp.from_sparse_list(terms, num_qubits=3)
        for terms in ([("Z", [0], 1.0)], [("X", [1], 1.0)], [("ZY", [0, 2], 0.5), ("X", [1], -2.0), ("Z", [2], 1.0)])
    ]
    for found, operator in zip(observables, wanted, strict=True):
        laid_out = operator.apply_layout(list(isa.layout), num_qubits=156)
        assert found == {label: coefficient.real for label, coefficient in laid_out.to_list()}


@pytest.mark.parametrize(
    ("text", "level", "resilience", "twirling"),
    [
        ("resilience=0", 0, UNMITIGATED, (False, False)),
        ("resilience=1,measure_mitigation=off,twirling=off", 1, UNMITIGATED, (False, False)),
        ("program=estimator", 1, READOUT, (False, True)),
        ("resilience=1,measure_mitigation=off", 1, UNMITIGATED, (False, True)),
        ("resilience=0,measure_mitigation=on", 0, READOUT, (False, True)),
        (
            "resilience=2",
            2,
            {
                "measure_mitigation": True,
                "zne_mitigation": True,
                "zne": {
                    "amplifier": "gate_folding",
                    "noise_factors": [1.0, 3.0, 5.0],
                    "extrapolator": ["exponential", "linear"],
                },
            },
            (True, True),
        ),
        (
            "resilience=1,zne=1-1.5-3,extrapolator=linear,amplifier=gate_folding_back,twirling=measure",
            1,
            {
                "measure_mitigation": True,
                "zne_mitigation": True,
                "zne": {
                    "amplifier": "gate_folding_back", "noise_factors": [1.0, 1.5, 3.0], "extrapolator": ["linear"]
                },
            },
            (False, True),
        ),
    ],
)  # fmt: skip
def test_mitigation_is_said_in_full(text, level, resilience, twirling):
    """The level and all that it stands for, as IBM's client would take it; any of these options chooses the program."""
    program, params = params_of(text)
    options = params["options"]
    assert (program, params["resilience_level"], options["resilience"]) == ("estimator", level, resilience)
    assert options["default_shots"] == 64
    names = ("enable_gates", "enable_measure", "num_randomizations", "shots_per_randomization")
    assert options["twirling"] == dict(zip(names, (*twirling, 32, 2)[: 4 if any(twirling) else 2], strict=False))
    EstimatorOptions(**{name: options[name] for name in options if name != "execution"}, resilience_level=level)


def test_suppression_goes_to_the_estimator_too():
    """dd= and rep_delay= are in the options beside mitigation."""
    _, params = params_of("resilience=0,dd=XY4,rep_delay=0.0002")
    assert params["options"]["dynamical_decoupling"] == {"enable": True, "sequence_type": "XY4"}
    assert params["options"]["execution"] == {"init_qubits": True, "rep_delay": 0.0002}


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("resilience=3", UsageError, "from 0 to 2"),
        ("zne=0.5-1", UsageError, "below 1"),
        ("zne=3-3", UsageError, "one twice"),
        ("zne=a", UsageError, "noise factors such as 1-3-5"),
        ("zne=1-3,extrapolator=double_exponential", UsageError, "needs 4 noise factors"),
        ("zne=on,extrapolator=cubic", UsageError, "no extrapolator 'cubic'; choose among linear"),
        ("resilience=1,extrapolator=linear", UsageError, "write zne=on"),
        ("program=sampler,resilience=1", UsageError, "write program=estimator"),
        ("program=executor,zne=on", UsageError, "write program=estimator"),
        ("resilience=1,twirling=gates", UsageError, "measure_mitigation=off"),
        ("resilience=2,fractional=on", UsageError, "resilience=2 twirls gates by default"),
        ("mitigation=on", UnknownNameError, "resilience=0..2"),
    ],
)
def test_options_that_do_not_go_together(text, error, words):
    """They are refused by name, with what to write."""
    with pytest.raises(error, match=words):
        options_of(f"ibm_fez,{text}")


@pytest.mark.parametrize("text", ["resilience=1", "program=estimator"])
def test_recorded_devices_do_not_estimate(text):
    """One sentence names the option."""
    with pytest.raises(
        UsageError, match=f"simulated on this machine and has no option {text.partition('=')[0]}; leave"
    ):
        options_of(f"fake_fez,{text}")


@pytest.mark.parametrize(
    ("asked", "text", "error", "words"),
    [
        (block_of(GATES, np.zeros((1, 2)), shots=64), "resilience=1", CircuitError, "has no counts"),
        (block(), "program=executor", CircuitError, "estimates come from program=estimator"),
        (block(2, shots=1_000_000), "resilience=2", ShotsError, "2 rows of 1000000 shots in 6 circuits each"),
        (block(1, shots=1009), "resilience=1", ShotsError, "multiple of 32"),
    ],
)
def test_jobs_that_cannot_be_sent(asked, text, error, words):
    """Counts of the estimator, estimates of another program, and more executions than a job has, in all bases."""
    with pytest.raises(error, match=words):
        params_of(text, asked)


def test_shots_that_twirling_cannot_divide_are_refused_while_jobs_are_planned():
    """Before a run reserves jobs of them, so that nothing is left of it to resume."""
    options = options_of("ibm_fez,resilience=1")
    with pytest.raises(ShotsError, match="multiple of 32"):
        rows_per_job(GATES, block(1).measurement, device=FEZ, options=options, compiler=COMPILER, shots=1009)


def test_how_many_rows_a_job_holds():
    """Bases and noise factors count; a job of so many rows is encoded and one of more is not."""
    asked = block(1, shots=4096)
    assert len(asked.measurement.sums.bases) == 2
    for text, most in (("resilience=0", 10_000_000 // 8192), ("resilience=2", 10_000_000 // (3 * 8192))):
        text += ",max_time=3600"
        options = options_of(f"ibm_fez,{text}")
        found = rows_per_job(GATES, asked.measurement, device=FEZ, options=options, compiler=COMPILER, shots=4096)
        assert found == most
        params_of(text, block(most, shots=4096))
        with pytest.raises(ShotsError):
            params_of(text, block(most + 1, shots=4096))


def test_usage_counts_bases_and_noise_factors():
    """Each row in two bases at three noise factors is six executions of all shots."""
    usage = measure_usage(
        request_of(block(5, shots=64)), device=FEZ, options=options_of("ibm_fez,resilience=2"), compiler=COMPILER
    )
    assert (usage.executions, usage.shots) == (30, 30 * 64)


def test_a_context_changes_with_every_option():
    """What is mitigated, and how, tells stored results apart, from those of other programs as well."""
    texts = (
        "", "program=sampler", "resilience=0", "resilience=1", "resilience=2", "resilience=1,measure_mitigation=off",
        "resilience=1,twirling=all", "resilience=2,zne=1-3", "resilience=2,extrapolator=linear",
        "resilience=2,amplifier=gate_folding_front", "resilience=2,dd=XX", "resilience=2,rep_delay=0.0002",
    )  # fmt: skip

    async def context_of(text, root):
        backend = open_backend(f"{DEVICE},{text}", clock=WallClock(), environment=environment(root))
        await backend.open()
        await backend.prepare([entangled_pair()])
        found = backend.context(entangled_pair())
        await backend.close()
        assert backend.capabilities.estimates is ("resilience" in text)
        assert backend.capabilities.samples is not backend.capabilities.estimates
        return found

    with start(IbmSettings(devices=DEVICE, noise="off")) as emulator:
        found = [asyncio.run(context_of(text, emulator.root)) for text in texts]
    assert len(set(found)) == len(texts)


def answer(parts, *, kind=EstimatorPubResult, is_rich=False):
    """An answer of the estimator as IBM's own encoder writes it; ``is_rich``: with all that it may tell beside."""
    pubs = []
    for evs, stds in parts:
        names = ("ensemble_standard_error", "evs_noise_factors", "stds_extrapolated") if is_rich else ()
        more = {name: np.zeros((*evs.shape, 2)) for name in names}
        pubs.append(kind(DataBin(evs=evs, stds=stds, **more, shape=evs.shape), {"shots": 64}))
    return json.dumps(PrimitiveResult(pubs, {"version": 2}), cls=RuntimeEncoder).encode()


def read(shape, body):
    """The verified values and variances of all blocks."""
    return [estimates_of(part) for part in verify_result(shape, read_answer(shape, RawResult(body))).blocks]


def parts_of(*shapes):
    """Values, some beyond 1, and errors."""
    rng = np.random.default_rng(6)
    return [(rng.normal(size=shape), rng.random(shape)) for shape in shapes]


@pytest.mark.parametrize("kind", [EstimatorPubResult, PubResult])
def test_values_and_squared_errors_are_read(kind):
    """Of every block, also beside one without rows; what else the service tells, such as other fits, is left alone."""
    blocks = [block(3), block(1, sums=("Z0 + X1",)), block(2).take(slice(0, 0))]
    parts = parts_of((3, 3), (1, 1))
    body = answer(parts, kind=kind, is_rich=True)
    found = read(request_of(*blocks).shape, body)
    for (values, variances), (evs, stds) in zip(found, parts, strict=False):
        np.testing.assert_array_equal(values, evs)
        np.testing.assert_array_equal(variances, stds**2)
    assert found[2][0].shape == (0, 3)


def flat(found):
    """All numbers of all blocks, in order."""
    return [array.ravel() for part in found for array in part]


def test_damaged_documents_are_refused_or_read_right():
    """Whatever is missing, of another type or size in an answer: no value and no error differs from the truth."""
    shape = request_of(block(3), block(1)).shape
    body = answer(parts_of((3, 3), (1, 3)), is_rich=True)
    truth, document, n_refused = np.hstack(flat(read(shape, body))), json.loads(body), 0
    for path in places(document):
        for change in CHANGES if path else ():
            try:
                found = read(shape, changed(document, path, change))
            except InvalidResultError:
                n_refused += 1
            else:
                np.testing.assert_array_equal(np.hstack(flat(found)), truth)
    assert n_refused > 50


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (parts_of((3, 3)), "1 PUBs; 2 were sent"),
        (parts_of((2, 3), (1, 3)), "not the shape"),
        (parts_of((3, 3), (3, 1)), "not the shape"),
        ([(np.zeros((3, 3)), np.full((3, 3), -0.1)), *parts_of((1, 3))], "negative"),
        ([(np.full((3, 3), np.nan), np.zeros((3, 3))), *parts_of((1, 3))], "not finite"),
        ([(np.zeros((3, 3)), np.full((3, 3), np.inf)), *parts_of((1, 3))], "not finite"),
        ([(np.zeros((3, 3)), np.full((3, 3), 1e300)), *parts_of((1, 3))], "not finite"),
        ([(np.zeros((3, 3), dtype=np.int64), np.zeros((3, 3))), *parts_of((1, 3))], "not an array of numbers"),
    ],
)
def test_results_that_cannot_be_are_refused(parts, words):
    """Other rows, negative errors, and what is no number."""
    with pytest.raises(InvalidResultError, match=words):
        read(request_of(block(3), block(1)).shape, answer(parts))


def test_an_answer_cannot_unpack_more_than_was_asked():
    """A small text that unpacks to gigabytes is refused early; counts are no estimates."""
    shape = request_of(block(1)).shape
    with pytest.raises(InvalidResultError, match="larger than"):
        read(shape, answer([(np.zeros((1, 1 << 20)), np.zeros((1, 1 << 20)))]))
    for body in (b"{}", b'{"results":[]}', b"", b"[1]"):
        with pytest.raises(InvalidResultError, match=r"run/0\.0\.0"):
            read(shape, body)


@pytest.mark.parametrize("text", ["resilience=0", "resilience=1,layout=24-21-23", "resilience=0,fractional=on"])
def test_asymmetric_states_through_the_emulators_program(text):
    """What a server that shares no code makes of a body are the exact values, within their errors."""
    device = device_of("fez", fractional="fractional" in text)
    options = options_of(f"ibm_fez,{text}")
    request = request_of(block(4, shots=2048), block(2, shots=2048, sums=("X0 X1 X2", "Y2")))
    body = json.loads(body_of(request, device, options))
    emulated = read_devices("ibm_fez", is_fractional="fractional" in text)["ibm_fez"]
    outcome = PROGRAMS["estimator"](json.dumps(body["params"]).encode(), emulated, None, np.random.default_rng(8))
    found = verify_result(request.shape, read_answer(request.shape, RawResult(outcome.encode(0.0, 1.0))))
    for asked, part in zip(request.blocks, found.blocks, strict=True):
        assert worst_sigmas(asked, part) < 6.0


def test_mitigated_values_through_a_run():
    """On a noisy device values are wrong at level 0 and right at level 1, with larger errors; a resume buys nothing."""
    pub = qorch.Pub(free_circuit(entangled_pair()), [[0.3]], observables=["Z0 Z1", "Z0 - 1"], shots=64_000)
    exact = np.array([np.cos(0.4), np.cos(0.3) - 1])
    found = {}
    with start(IbmSettings(devices=DEVICE, noise="on", posts_per_minute=0, usage_delay="0")) as emulator:
        for level in (0, 1):
            store = MemoryStore(WallClock())
            for _ in range(2):
                backend = open_backend(
                    f"{DEVICE},resilience={level},settle=1", clock=WallClock(), environment=environment(emulator.root)
                )
                with qorch.start_run("mitigated", backend=backend, db=store, resume=True) as run:
                    [found[level]] = run.execute(pub)
                assert found[level].is_estimated
                assert len(emulator.jobs()) == level + 1
    biases = [np.abs(found[level].values[0] - exact) for level in (0, 1)]
    assert (biases[0] > 5 * found[0].stderr[0]).all()
    assert (biases[1] < 5 * found[1].stderr[0] + 0.02).all()
    assert (biases[1] < biases[0]).all()
    assert (found[1].stderr > found[0].stderr).all()
