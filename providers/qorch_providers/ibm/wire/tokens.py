"""Tokens of IBM Cloud's IAM for an API key: one request for all that wait, before the old one ends."""

from collections.abc import Awaitable, Callable

from qorch.errors import BusyError, InvalidResultError
from qorch_providers.http import Content, HttpClient, Token
from qorch_providers.ibm.wire.documents import decode_token
from qorch_providers.ibm.wire.refusals import read_iam_failure

IAM = "iam"
"""The origin of a client at which IAM is."""
_GRANT = "urn:ibm:params:oauth:grant-type:apikey"


def fetch_tokens(key: str, *, client: Callable[[], HttpClient]) -> Callable[[], Awaitable[Token]]:
    """What a BearerToken fetches with. ``client``: the one that the tokens are for; it has the origin ``IAM``."""

    async def fetch() -> Token:
        form = Content.form([("grant_type", _GRANT), ("apikey", key), ("response_type", "cloud_iam")])
        response = await client().ask("POST", "/identity/token", content=form, origin=IAM)
        if response.status != 200:
            raise read_iam_failure(response)
        try:
            value, seconds = decode_token(response.body)
        except InvalidResultError as error:
            raise BusyError(f"{error}; it is asked again") from error
        return Token(value, seconds)

    return fetch
