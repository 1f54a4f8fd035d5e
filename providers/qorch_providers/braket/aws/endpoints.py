"""The URLs at which Braket and S3 are reached, as botocore resolves them: partitions, FIPS, profiles, path style."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from qorch.errors import UsageError
from qorch_providers.braket.aws.session import find_endpoint

_ARN = "arn:aws:braket:::device/x"
_KEY = "x"


def resolve_braket(session: Any, *, region: str, environment: Mapping[str, str]) -> str:
    """The URL of Braket's control plane in a region. Raises UsageError if there is none."""
    url = _ask_nothing(session, "braket", "get_device", {"deviceArn": _ARN}, region, environment)
    return url.rpartition("/device/")[0]


def resolve_bucket(session: Any, bucket: str, *, region: str, environment: Mapping[str, str]) -> str:
    """The URL below which the objects of a bucket are. Raises UsageError if the name cannot be a bucket's."""
    url = _ask_nothing(session, "s3", "get_object", {"Bucket": bucket, "Key": _KEY}, region, environment)
    return url.removesuffix(f"/{_KEY}")


def _ask_nothing(
    session: Any, service: str, operation: str, values: Mapping[str, str], region: str, environment: Mapping[str, str]
) -> str:
    """The URL, without its query, of a request that botocore makes and does not send."""
    urls: list[str] = []

    def answer(request: Any, **_: object) -> AWSResponse:
        parts = urlsplit(request.url)
        urls.append(f"{parts.scheme}://{parts.netloc}{parts.path}")
        return AWSResponse(request.url, 404, {}, None)

    try:
        # Without a signature, so that no credentials are needed.
        client = session.create_client(
            service,
            region_name=region,
            endpoint_url=find_endpoint(session, service, environment),
            config=Config(signature_version=UNSIGNED),
        )
        client.meta.events.register_first(f"before-send.{service}", answer)
        getattr(client, operation)(**values)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, ValueError, AttributeError) as error:
        if not urls:
            raise UsageError(f"AWS's own library finds no address for {service} in '{region}': {error}") from error
    return urls[0]
