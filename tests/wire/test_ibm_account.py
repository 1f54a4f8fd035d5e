"""Accounts as IBM's own client finds them, from variables and from its file, and the addresses that follow."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from qiskit_ibm_runtime.accounts import AccountManager, AccountNotFoundError
from qiskit_ibm_runtime.api.utils import default_runtime_url_resolver

from qorch.errors import CredentialsError, QorchError, UsageError
from qorch_providers.ibm.access import read_access
from qorch_providers.ibm.account import find_account
from qorch_providers.ibm.instances import choose_instance
from qorch_providers.ibm.options import parse_options
from qorch_providers.ibm.wire.documents import IbmInstance, decode_instances

EAST = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
EUROPE = "crn:v1:bluemix:public:quantum-computing:eu-de:a/1:2::"
SECRET = "the-secret-api-key"  # noqa: S105
PLATFORM = {"channel": "ibm_quantum_platform", "token": "platform"}
CLOUD = {"channel": "ibm_cloud", "token": "cloud", "instance": EUROPE}
OLD = {"channel": "ibm_quantum", "token": "old"}


def save(home: Path, accounts: Any) -> dict[str, str]:
    """The variables of a user who has saved these accounts."""
    file = home / ".qiskit" / "qiskit-ibm.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(accounts if isinstance(accounts, str) else json.dumps(accounts))
    return {"HOME": str(home)}


@pytest.mark.parametrize(
    "accounts",
    [
        {"default-ibm-quantum-platform": PLATFORM},
        {"default-ibm-cloud": CLOUD},
        {"default-ibm-cloud": CLOUD, "default-ibm-quantum-platform": PLATFORM},
        {"a": PLATFORM | {"token": "a"}, "default-ibm-quantum-platform": PLATFORM},
        {"a": CLOUD | {"token": "a", "is_default_account": True}, "default-ibm-quantum-platform": PLATFORM},
        {"a": PLATFORM | {"token": "a"}},
        {"a": PLATFORM | {"token": "a"}, "b": PLATFORM | {"token": "b", "is_default_account": True}},
        {"a": PLATFORM | {"token": "a"}, "b": PLATFORM | {"token": "b"}},
        {"a": PLATFORM | {"is_default_account": True}, "b": CLOUD | {"is_default_account": True}},
    ],
)
@pytest.mark.parametrize("channel", ["", "ibm_cloud", "ibm_quantum_platform"])
def test_the_account_is_the_clients(
    accounts: Mapping[str, Any], channel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is saved, and whichever channel the variable names."""
    variables = save(tmp_path, accounts) | ({"QISKIT_IBM_CHANNEL": channel} if channel else {})
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    if channel:
        monkeypatch.setenv("QISKIT_IBM_CHANNEL", channel)
    try:
        wanted = AccountManager.get(filename=str(tmp_path / ".qiskit" / "qiskit-ibm.json"))
    except AccountNotFoundError:
        with pytest.raises(CredentialsError):
            find_account(variables)
        return
    found = find_account(variables)
    assert wanted is not None
    assert (found.key, found.instance or None, found.url) == (wanted.token, wanted.instance, wanted.url)


def test_variables_come_before_the_file(tmp_path: Path) -> None:
    """As for the client; an account that is named comes before both. The file is left as it is."""
    variables = save(tmp_path, {"default-ibm-cloud": CLOUD, "mine": PLATFORM | {"token": "mine"}})
    file = tmp_path / ".qiskit" / "qiskit-ibm.json"
    before = file.stat()
    given = variables | {"QISKIT_IBM_TOKEN": SECRET, "QISKIT_IBM_INSTANCE": EAST}
    found = find_account(given)
    assert (found.key, found.instance, found.source) == (SECRET, EAST, "QISKIT_IBM_TOKEN")
    named = find_account(given, name="mine")
    assert (named.key, named.instance) == ("mine", EAST)
    assert named.source == f"account 'mine' in {file}"
    assert find_account(variables, channel="ibm_cloud").key == "cloud"
    assert file.stat() == before
    assert SECRET not in repr(found)


@pytest.mark.parametrize("instance", [EAST, EUROPE])
@pytest.mark.parametrize("is_private", [False, True])
@pytest.mark.parametrize(
    "url", ["https://cloud.ibm.com", "https://test.cloud.ibm.com", "https://x.experimental.ibm.com"]
)
def test_addresses_are_the_clients(url: str, is_private: bool, instance: str, tmp_path: Path) -> None:
    """The region is the CRN's; private addresses and other clusters are taken as the client takes them."""
    account = {"channel": "ibm_cloud", "token": "x", "url": url, "instance": instance, "private_endpoint": is_private}
    access = read_access(save(tmp_path, {"default-ibm-cloud": account}), parse_options("ibm_fez"))
    assert access.crn == instance
    assert access.api_url(access.crn) == default_runtime_url_resolver(url, instance, is_private)
    assert access.iam_url == f"https://{'private.' if is_private else ''}iam.cloud.ibm.com"


def test_the_account_in_the_terms_tells_nothing() -> None:
    """The same for all keys of an instance, another for another instance, paced with it; nothing of a key is in it."""
    variables = {"QISKIT_IBM_TOKEN": SECRET, "QISKIT_IBM_INSTANCE": EAST}
    access = read_access(variables, parse_options("ibm_fez"))
    other = read_access(variables | {"QISKIT_IBM_TOKEN": "another-key"}, parse_options("ibm_torino"))
    europe = read_access(variables, parse_options(f"ibm_fez,instance={EUROPE}"))
    assert access.account == other.account != europe.account
    assert access.paced_with == other.paced_with == europe.paced_with
    stranger = read_access(variables, parse_options(f"ibm_fez,instance={EAST.replace('a/', 'a/9')}"))
    assert stranger.paced_with not in (access.paced_with, stranger.account)
    assert europe.api_url(europe.crn) == "https://eu-de.quantum.cloud.ibm.com/api/v1"
    assert SECRET not in repr(access)


@pytest.mark.parametrize(
    ("saved", "changes", "options", "error", "words"),
    [
        (None, {}, "", CredentialsError, "there is no IBM Quantum account: make an API key at"),
        ({"default": OLD}, {}, "", CredentialsError, "of the channel ibm_quantum, which is no more"),
        ({"default-ibm-cloud": {"channel": "ibm_cloud"}}, {}, "", CredentialsError, "'default-ibm-cloud' .*has no tok"),
        ("{", {}, "", UsageError, "is not a file of accounts"),
        ({"a": 1}, {}, "", UsageError, "is not a file of accounts"),
        ({"a": PLATFORM}, {}, ",account=b", UsageError, "there is no account 'b' in .*; it has a"),
        (None, {"QISKIT_IBM_CHANNEL": "local"}, "", UsageError, "use ibm:fake_fez"),
        (None, {"QISKIT_IBM_TOKEN": f"{SECRET}\nx"}, "", UsageError, "has characters that no header may have"),
        (
            None,
            {"QISKIT_IBM_TOKEN": SECRET, "QISKIT_IBM_INSTANCE": "crn:v1:bluemix"},
            "",
            UsageError,
            "not a whole CRN",
        ),
        (
            None,
            {"QISKIT_IBM_TOKEN": SECRET, "IAM_URL": "http://iam.example.com"},
            "",
            UsageError,
            "^IAM_URL: .*use https://iam",
        ),
        (
            None,
            {"QISKIT_IBM_TOKEN": SECRET, "QISKIT_IBM_URL": "cloud.ibm.com"},
            "",
            UsageError,
            "^QISKIT_IBM_URL: the URL .* expected https://host",
        ),
        (None, {"QISKIT_IBM_TOKEN": SECRET, "QISKIT_IBM_URL": "https://[cloud"}, "", UsageError, "^QISKIT_IBM_URL: "),
        (
            {"a": PLATFORM | {"url": "https://x:y@cloud.ibm.com"}},
            {},
            "",
            UsageError,
            "^the url of the account 'a' in .* has a user",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said(
    saved: Any, changes: Mapping[str, str], options: str, error: type[QorchError], words: str, tmp_path: Path
) -> None:
    """One sentence that names what to change, and shows no key."""
    variables = save(tmp_path, saved) if saved is not None else {"HOME": str(tmp_path)}
    with pytest.raises(error, match=words) as caught:
        read_access(variables | changes, parse_options(f"ibm_fez{options}"))
    assert SECRET not in str(caught.value)


def test_an_instance_may_have_any_name() -> None:
    """Only a CRN is sent as a header; a name is compared, and may have letters that no header has."""
    name = "Prüfstand  2"
    access = read_access({"QISKIT_IBM_TOKEN": SECRET, "QISKIT_IBM_INSTANCE": name}, parse_options("ibm_fez"))
    found = [IbmInstance(EUROPE, "other"), IbmInstance(EAST, name), IbmInstance(EAST, name)]
    assert choose_instance(found, access.instance) == EAST
    with pytest.raises(UsageError, match="2 instances, and which"):
        choose_instance(found, "")


def test_an_instance_without_devices_does_not_count() -> None:
    """As for IBM's client, so that one of an old plan does not keep qorch from the only one that can be used."""
    items = [{"crn": EAST, "name": "old", "doc": {}}, {"crn": EUROPE, "name": "new", "doc": {"extensions": {"a": 1}}}]
    found, cursor = decode_instances(json.dumps({"items": items}).encode())
    assert (choose_instance(found, ""), cursor) == (EUROPE, "")
    assert choose_instance(found[:1], "") == EAST
    with pytest.raises(UsageError, match="no instance named 'old'"):
        choose_instance(found, "old")


def test_a_crn_without_a_region_is_said() -> None:
    """Before anything is sent."""
    variables = {"QISKIT_IBM_TOKEN": SECRET, "QISKIT_IBM_INSTANCE": "crn:v1:bluemix:public:quantum-computing::a/1:2::"}
    access = read_access(variables, parse_options("ibm_fez"))
    with pytest.raises(UsageError, match="names no region"):
        access.api_url(access.crn)
