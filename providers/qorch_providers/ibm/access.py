"""Where IBM Quantum's API is and who asks: account, instance, region and addresses, as IBM's own client finds them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from qorch.errors import UsageError
from qorch_providers.http import check_header_value, check_origin
from qorch_providers.ibm.account import INSTANCE_NAME, TOKEN_NAME, URL_NAME, Account, find_account
from qorch_providers.ibm.options import Options

CONSOLE = "https://quantum.cloud.ibm.com/workloads"
MAIN_REGION = "us-east"
_AUTO = "auto"
_VERBATIM = "experimental"
"""A URL with this word in it is taken as it is: that is how the client lets other servers be named."""
_PARTS = 8
_OWNER = 6
"""The part of a CRN that names the account."""


@dataclass(frozen=True)
class IbmAccess:
    """``url``: the account's, from which the API's follows with the instance. ``iam_url``: of the service for tokens.

    ``instance``: a CRN, a name, or empty: then the account must have one instance only. ``source``: of the key.
    ``search_url``: of the service that lists an account's instances.
    """

    key: str = field(repr=False)
    source: str
    url: str
    instance: str
    is_private: bool
    iam_url: str
    search_url: str

    @property
    def crn(self) -> str:
        """The instance, if its CRN is known before anything is asked; else empty."""
        return self.instance if is_crn(self.instance) else ""

    @property
    def account(self) -> str:
        """A name for an instance; nothing of the key is in it."""
        return self._name_of(self.instance)

    @property
    def paced_with(self) -> str:
        """A name for what shares the limit of submissions, which IBM has for each user: here, for an account.

        That is in the CRN; without one, its instance counts for itself.
        """
        return self._name_of(self.crn.split(":")[_OWNER] if self.crn else self.instance)

    def _name_of(self, text: str) -> str:
        digest = hashlib.sha256(f"{self.url}\n{text}".encode()).hexdigest()
        return f"ibm:{digest[:12]}"

    def api_url(self, crn: str) -> str:
        """The URL of the API for an instance. Raises UsageError if the CRN names no region, or the URL cannot be."""
        if _VERBATIM in self.url:
            return check_origin(self.url)
        region = _region_of(crn)
        parts = urlsplit(self.url)
        before = f"private.{region}." if self.is_private else "" if region == MAIN_REGION else f"{region}."
        return check_origin(f"{parts.scheme}://{before}quantum.{parts.hostname}/api/v1")


def is_crn(text: str) -> bool:
    """Whether a text is a Cloud Resource Name."""
    return text.startswith("crn:") and len(text.split(":")) >= _PARTS


def read_access(environment: Mapping[str, str], options: Options) -> IbmAccess:
    """Account, instance and addresses; nothing is sent.

    Raises CredentialsError if there is no account, UsageError for what cannot be, without showing the key.
    """
    account = find_account(environment, name=options.account, channel=options.channel)
    check_header_value(f"IBM Quantum ({account.source})", account.key)
    url = _check_url(URL_NAME if account.source == TOKEN_NAME else f"the url of the {account.source}", account.url)
    instance = options.instance or account.instance
    if instance.lower() == _AUTO:
        instance = ""
    if instance.startswith("crn:") and not is_crn(instance):
        raise UsageError(f"{INSTANCE_NAME} is not a whole CRN: it begins with crn:v1: and ends with ::; copy it again")
    if is_crn(instance):
        check_header_value(f"the instance ({INSTANCE_NAME})", instance)
    return IbmAccess(
        key=account.key,
        source=account.source,
        url=url,
        instance=instance,
        is_private=account.is_private,
        iam_url=_check_url("IAM_URL", environment.get("IAM_URL", "").strip() or _iam_url(account, instance)),
        search_url=_check_url(
            "GLOBAL_SEARCH_URL", environment.get("GLOBAL_SEARCH_URL", "").strip() or _search_url(url)
        ),
    )


def _check_url(name: str, url: str) -> str:
    """The URL without a slash at its end. Raises UsageError, which names where it is from."""
    try:
        return check_origin(url)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _region_of(crn: str) -> str:
    parts = crn.split(":")
    if len(parts) < _PARTS or not parts[5].replace("-", "").isalnum():
        raise UsageError(f"{INSTANCE_NAME} names no region: a CRN has it after quantum-computing:, such as us-east")
    return parts[5]


def _iam_url(account: Account, instance: str) -> str:
    is_staging = instance.split(":")[2:3] == ["staging"]
    return f"https://{'private.' if account.is_private else ''}iam.{'test.' if is_staging else ''}cloud.ibm.com"


def _search_url(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://api.global-search-tagging.{parts.hostname}"
