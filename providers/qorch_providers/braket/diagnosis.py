"""Looks at credentials, region, device and bucket without paying for anything: one sentence each."""

from collections.abc import Awaitable, Callable

from qorch.errors import QorchError
from qorch.ports.backend import Finding, FindingStatus
from qorch_providers.braket.access import AwsAccess
from qorch_providers.braket.aws.credentials import AwsCredentials
from qorch_providers.braket.device_reading import RETIRED, SeenDevice
from qorch_providers.braket.wire.objects import BUCKET_NAME, ResultObjects

OK, WARN, FAIL = FindingStatus.OK, FindingStatus.WARN, FindingStatus.FAIL


async def diagnose(
    access: AwsAccess,
    credentials: AwsCredentials,
    objects: ResultObjects,
    *,
    see_device: Callable[[], Awaitable[SeenDevice]],
) -> list[Finding]:
    """What was found, in the order in which it would stop a run. Raises nothing that qorch knows."""
    findings = [Finding("region", OK, f"{access.region}, at {access.endpoint}")]
    findings.append(await _try("credentials", lambda: _look_at_keys(credentials)))
    if findings[-1].status is FAIL:
        return findings
    findings.append(await _try("device", lambda: _look_at_device(see_device)))
    findings.append(await _try("bucket", lambda: _look_at_bucket(access, objects)))
    return findings


async def _try(name: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        return await look()
    except QorchError as error:
        return Finding(name, FAIL, str(error))


async def _look_at_keys(credentials: AwsCredentials) -> Finding:
    pair = await credentials.current()
    return Finding(
        "credentials", OK, f"found by botocore's chain ({pair.method}); the device's line says if they are valid"
    )


async def _look_at_device(see_device: Callable[[], Awaitable[SeenDevice]]) -> Finding:
    seen = await see_device()
    queue = f"; {seen.waiting} tasks wait" if seen.waiting else ""
    if seen.is_online:
        return Finding("device", OK, f"{seen.device.name} is online{queue}")
    if seen.status == RETIRED:
        return Finding("device", FAIL, f"{seen.device.name} is retired and takes no tasks any more; choose another")
    return Finding(
        "device", WARN, f"{seen.device.name} is {seen.status.lower()}: tasks are sent once it is online{queue}"
    )


async def _look_at_bucket(access: AwsAccess, objects: ResultObjects) -> Finding:
    if not access.bucket:
        return Finding(
            "bucket",
            OK,
            f"{BUCKET_NAME} names none: results go to the default bucket of Braket's SDK,"
            f" amazon-braket-{access.region}-ACCOUNT, which is made if it is not there",
        )
    await objects.check(access.bucket, access.prefix)
    return Finding("bucket", OK, f"s3://{access.bucket}/{access.prefix} can be read")
