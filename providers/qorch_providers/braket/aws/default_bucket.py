"""The bucket that Braket's own SDK would choose, and make: one per account and region."""

from collections.abc import Mapping
from typing import Any

import boto3
from botocore import exceptions
from braket.aws.aws_session import AwsSession

from qorch.errors import CredentialsError, UnreachableError, UsageError
from qorch_providers.braket.aws.session import ONE_TRY, find_endpoint

_ADVICE = "set QORCH_BRAKET_S3=BUCKET/PREFIX to a bucket that the credentials may use"


class _Session(boto3.Session):  # type: ignore[misc]
    """A session whose clients are at the addresses that the variables name, and repeat nothing."""

    def __init__(self, session: Any, *, region: str, environment: Mapping[str, str]) -> None:
        super().__init__(botocore_session=session, region_name=region)
        self._own = session
        self._environment = environment

    def client(self, service_name: str, **settings: Any) -> Any:
        settings.setdefault("config", ONE_TRY)
        url = settings.pop("endpoint_url", None) or find_endpoint(self._own, service_name, self._environment)
        return super().client(service_name, endpoint_url=url, **settings)


def find_default_bucket(session: Any, *, region: str, environment: Mapping[str, str]) -> str:
    """Its name; it may be made by this call, which blocks, and asks STS and S3.

    Raises CredentialsError if that is not allowed, UnreachableError if nobody answers, UsageError if the name is taken.
    """
    named = environment.get("AMZN_BRAKET_OUT_S3_BUCKET")
    if named:
        return named
    own = _Session(session, region=region, environment=environment)
    try:
        return str(AwsSession(own, braket_client=own.client("braket"), default_bucket=None).default_bucket())
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "without a code"))[:80]
        raise CredentialsError(
            f"Braket's default bucket cannot be found or made ({error.operation_name}: {code}); {_ADVICE}"
        ) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise UnreachableError(
            f"Braket's default bucket cannot be found: STS or S3 does not answer ({type(error).__name__}); {_ADVICE}"
        ) from None
    except (exceptions.BotoCoreError, ValueError) as error:
        raise UsageError(f"Braket's default bucket cannot be used ({type(error).__name__}); {_ADVICE}") from None
