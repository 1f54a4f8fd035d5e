"""The account that IBM's own client would take: from variables, or from its file, which is read and never written."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from qorch.errors import CredentialsError, UsageError

TOKEN_NAME, INSTANCE_NAME, URL_NAME = "QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL"
CHANNEL_NAME = "QISKIT_IBM_CHANNEL"
DEFAULT_URL = "https://cloud.ibm.com"
PLATFORM, CLOUD, CLASSIC, LOCAL = "ibm_quantum_platform", "ibm_cloud", "ibm_quantum", "local"
"""Channels. The first two are the same service; CLASSIC is no more, and LOCAL is this machine."""
_DEFAULT_NAMES = {PLATFORM: "default-ibm-quantum-platform", CLOUD: "default-ibm-cloud"}
_FILE = Path(".qiskit", "qiskit-ibm.json")
_MAKE_A_KEY = "make an API key at https://quantum.cloud.ibm.com"
_MOST_BYTES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True)
class Account:
    """``key``: the API key. ``instance``: a CRN, a name, or empty. ``source``: where it was found, for messages.

    ``is_private``: whether IBM's private addresses are wanted.
    """

    key: str = field(repr=False)
    source: str
    url: str = DEFAULT_URL
    instance: str = ""
    is_private: bool = False


class _SavedWire(msgspec.Struct):
    channel: str | None = None
    token: str | None = None
    url: str | None = None
    instance: str | None = None
    private_endpoint: bool | None = None
    is_default_account: bool | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"_SavedWire({self.channel!r})"


def find_account(environment: Mapping[str, str], *, name: str = "", channel: str = "") -> Account:
    """The saved account of that name; else that of the variables; else the saved one for the channel, or the default.

    The channel of a variable counts only if no saved account is the default of all.

    Raises UsageError for a name, a channel or a file that cannot be, CredentialsError if there is no account.
    """
    usual = environment.get(CHANNEL_NAME, "").strip()
    if (channel or usual) == LOCAL:
        raise UsageError(f"{CHANNEL_NAME}=local is this machine: use ibm:fake_fez, or another fake device, for it")
    token = environment.get(TOKEN_NAME, "").strip()
    if token and not name:
        url = environment.get(URL_NAME, "").strip() or DEFAULT_URL
        return Account(token, TOKEN_NAME, url, environment.get(INSTANCE_NAME, "").strip())
    path = Path(environment.get("HOME") or os.path.expanduser("~"), _FILE)  # noqa: PTH111 - the client's own rule
    saved = _read_file(path)
    found = _choose_named(saved, name, path) if name else _choose(saved, channel, usual)
    if found is None:
        raise CredentialsError(_tell_absent(saved, path))
    return _as_account(found, saved[found], path, environment)


def _as_account(name: str, saved: _SavedWire, path: Path, environment: Mapping[str, str]) -> Account:
    if not saved.token:
        raise CredentialsError(f"the account '{name}' in {path} has no token; save it again, or set {TOKEN_NAME}")
    return Account(
        saved.token.strip(),
        f"account '{name}' in {path}",
        saved.url or DEFAULT_URL,
        (saved.instance or environment.get(INSTANCE_NAME, "")).strip(),
        bool(saved.private_endpoint),
    )


def _choose_named(saved: Mapping[str, _SavedWire], name: str, path: Path) -> str:
    if name not in saved:
        raise UsageError(f"there is no account '{name}' in {path}; it has {', '.join(saved) or 'none'}")
    return name


def _choose(saved: Mapping[str, _SavedWire], channel: str, usual: str) -> str | None:
    """As the client does: by channel, else the default of all, else by the ``usual`` channel, else by usual names.

    Of several accounts of a channel without a mark or a usual name, the client takes the last one.
    """
    names = [name for name, account in saved.items() if account.channel != CLASSIC]
    if not channel:
        chosen = next((name for name in names if saved[name].is_default_account), None)
        if chosen is not None:
            return chosen
    wanted = next((each for each in (channel, usual) if each in _DEFAULT_NAMES), PLATFORM)
    of_channel = [name for name in names if saved[name].channel == wanted]
    ranked = (
        *(name for name in of_channel if saved[name].is_default_account),
        *(name for name in of_channel if name == _DEFAULT_NAMES[wanted]),
        *reversed(of_channel),
        *(name for name in _DEFAULT_NAMES.values() if name in names),
    )
    return next(iter(ranked), None)


def _tell_absent(saved: Mapping[str, _SavedWire], path: Path) -> str:
    if any(account.channel == CLASSIC for account in saved.values()):
        return (
            f"the accounts in {path} are of the channel {CLASSIC}, which is no more: {_MAKE_A_KEY} and set"
            f" {TOKEN_NAME}=KEY and {INSTANCE_NAME}=CRN"
        )
    return (
        f"there is no IBM Quantum account: {_MAKE_A_KEY} and set {TOKEN_NAME}=KEY and {INSTANCE_NAME}=CRN, or save it"
        " with QiskitRuntimeService.save_account; qorch emulate ibm takes any word"
    )


def _read_file(path: Path) -> dict[str, _SavedWire]:
    """The saved accounts by name; none if there is no file. Nothing of its content is in a message."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is too large to be a file of accounts; look at it, or set {TOKEN_NAME}")
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _SavedWire])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); set {TOKEN_NAME} instead") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = UsageError(f"{path} is not a file of accounts; save the account again, or set {TOKEN_NAME}")
    raise problem
