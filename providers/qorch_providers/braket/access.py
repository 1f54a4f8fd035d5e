"""Where Braket is and where results go, read from the environment that is passed in and from AWS's own files."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qorch.errors import UsageError
from qorch_providers.braket.aws.endpoints import resolve_braket
from qorch_providers.braket.aws.session import find_region, open_session
from qorch_providers.braket.options import Options
from qorch_providers.braket.wire.objects import BUCKET_NAME

DEFAULT_PREFIX = "tasks/qorch"
"""In the default bucket, below the folder in which the console keeps tasks."""
PREFIX = "qorch"
"""In a bucket that is named without a prefix."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=:@+-]+(?:/[A-Za-z0-9!_.*'()=:@+-]+)*")
_MOST_PREFIX = 900


@dataclass(frozen=True)
class AwsAccess:
    """``endpoint``: the URL of Braket's control plane. ``bucket``: empty for the default bucket of Braket's SDK.

    ``job_token``: inside of a hybrid job, so that its tasks are counted to it.
    """

    region: str
    endpoint: str
    bucket: str
    prefix: str
    session: Any = field(repr=False)
    job_token: str = field(default="", repr=False)

    @property
    def account(self) -> str:
        """A name for what shares the quotas of an account in a region.

        Not even the key's id is in it: those of a role change with every session. So two accounts that work with one
        database in the same region share their pace.
        """
        digest = hashlib.sha256(f"{self.endpoint}\n{self.region}".encode()).hexdigest()
        return f"braket:{self.region}:{digest[:12]}"

    @property
    def console(self) -> str:
        """The page with the account's tasks."""
        return f"https://{self.region}.console.aws.amazon.com/braket/home?region={self.region}#/tasks"


def read_access(environment: Mapping[str, str], options: Options) -> AwsAccess:
    """Region, endpoint and destination. Raises UsageError for what is missing or cannot be; nothing is sent."""
    session = open_session(environment)
    region = options.device_region or options.region or find_region(session, environment)
    if not region:
        raise UsageError(
            "the region is not known, as a simulator's ARN names none: add region=us-east-1 to the backend's name, or"
            " set AWS_REGION"
        )
    bucket, prefix = _read_destination(environment.get(BUCKET_NAME, "").strip())
    return AwsAccess(
        region=region,
        endpoint=resolve_braket(session, region=region, environment=environment),
        bucket=bucket,
        prefix=prefix,
        session=session,
        job_token=environment.get("AMZN_BRAKET_JOB_TOKEN", ""),
    )


def _read_destination(text: str) -> tuple[str, str]:
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not text:
        return "", DEFAULT_PREFIX
    if _BUCKET.fullmatch(bucket) is None:
        raise UsageError(
            f"{BUCKET_NAME} is '{text}', which does not begin with the name of a bucket; write BUCKET/PREFIX"
        )
    if prefix and (_PREFIX.fullmatch(prefix) is None or len(prefix) > _MOST_PREFIX or _climbs(prefix)):
        raise UsageError(
            f"{BUCKET_NAME} is '{text}'; the part after the bucket must be names of letters, digits and !_.*'()=:@+-"
            f" with single slashes between them, {_MOST_PREFIX} characters at most"
        )
    return bucket, prefix or PREFIX


def _climbs(prefix: str) -> bool:
    return any(part in (".", "..") for part in prefix.split("/"))
