"""What may stand behind `ionq:`."""

import pytest

from qorch.errors import UnknownNameError, UsageError
from qorch.ports.policy import OnUnknown, Rate
from qorch_providers.ionq.options import Options, parse_options


def test_a_target_alone():
    """Everything else has its default."""
    assert parse_options("simulator") == Options("simulator")
    assert parse_options("qpu.forte-1").is_simulator is False


def test_all_options_at_once():
    """Each is read into its own field."""
    text = (
        "simulator, noise=aria-1,gateset=native,two_qubit=zz,rate=5/min,settle=10,on_unknown=hold,jobs=10,rows=1,"
        "version=v0.4,seed=7,debiasing=on,dry_run=on,deadline=2.5"
    )
    assert parse_options(text) == Options(
        "simulator",
        gateset="native",
        two_qubit="zz",
        noise="aria-1",
        noise_seed=7,
        debiasing=True,
        dry_run=True,
        rows=1,
        jobs=10,
        rate=Rate(5, 60.0),
        settle_seconds=10.0,
        on_unknown=OnUnknown.HOLD,
        deadline_seconds=2.5,
    )


@pytest.mark.parametrize(
    ("text", "entangler"),
    [
        ("simulator", "ms"),
        ("qpu.forte-1", "zz"),
        ("qpu.forte-enterprise-1", "zz"),
        ("qpu.aria-1", "ms"),
        ("simulator,noise=forte-1", "zz"),
        ("simulator,noise=aria-1", "ms"),
        ("qpu.forte-1,two_qubit=ms", "ms"),
    ],
)
def test_the_entangler_is_the_machines(text, entangler):
    """ZZ on Forte, whether real or simulated, MS elsewhere, and what is named where it is."""
    assert parse_options(text).two_qubit == entangler


@pytest.mark.parametrize(
    ("text", "is_ideal"),
    [("simulator", True), ("simulator,noise=ideal", True), ("simulator,noise=aria-1", False), ("qpu.forte-1", False)],
)
def test_only_the_simulator_without_noise_is_ideal(text, is_ideal):
    """There the probabilities are exact, and shots are drawn here."""
    assert parse_options(text).is_ideal is is_ideal


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "simulator"),
        ("noise=aria-1", "simulator"),
        ("qpu.", "simulator"),
        ("qpu.../jobs", "simulator"),
        ("simulator,color=red", "gateset"),
        ("simulator,native", "gateset"),
        ("simulator,noise=aria1", "aria-1"),
    ],
)
def test_unknown_names_are_refused_with_the_choices(text, names):
    """The sentence tells what is possible."""
    with pytest.raises(UnknownNameError, match=names):
        parse_options(text)


@pytest.mark.parametrize(
    "text",
    [
        *(f"simulator,{name}={value}" for name in ("rows", "jobs") for value in ("0", "-1", "1.5", "nan", "٣", "")),
        *(f"simulator,{name}={value}" for name in ("settle", "deadline") for value in ("0", "-1", "nan", "inf", "x")),
        *(f"simulator,rate={value}" for value in ("5", "0/min", "-1/s", "5/week", "nan/s", "1/2/s")),
        "simulator,rows=5001",
        "simulator,gateset=QIS",
        "simulator,version=v0.5",
        "simulator,debiasing=maybe",
        "simulator,on_unknown=guess",
        "simulator,rows=1,rows=2",
        "simulator,noise=aria-1,seed=0",
        "simulator,seed=7",
        "simulator,debiasing=on",
        "qpu.forte-1,noise=aria-1",
        "qpu.forte-1,version=v0.3,dry_run=on",
    ],
)
def test_values_that_cannot_be_are_refused(text):
    """Zero, negative and NaN values, unknown words, options twice, and combinations without a meaning."""
    with pytest.raises(UsageError):
        parse_options(text)
