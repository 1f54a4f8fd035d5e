"""Looks at credentials, region, device, bucket and limits without paying for anything: one sentence each."""

from collections.abc import Awaitable, Callable

from qorch.errors import BackendError, QorchError
from qorch.ports.backend import Finding, FindingStatus
from qorch_providers.braket.access import AwsAccess
from qorch_providers.braket.aws.credentials import AwsCredentials
from qorch_providers.braket.device_reading import RETIRED, SeenDevice
from qorch_providers.braket.options import Options
from qorch_providers.braket.spending import LIMIT_OPTION, DeviceSpending, describe_limit
from qorch_providers.braket.wire.objects import BUCKET_NAME, ResultObjects

OK, WARN, FAIL = FindingStatus.OK, FindingStatus.WARN, FindingStatus.FAIL


async def diagnose(
    access: AwsAccess,
    credentials: AwsCredentials,
    objects: ResultObjects,
    spending: DeviceSpending,
    *,
    options: Options,
    see_device: Callable[[], Awaitable[SeenDevice]],
) -> list[Finding]:
    """What was found, in the order in which it would stop a run. Raises nothing that qorch knows."""
    findings = [Finding("region", OK, f"{access.region}, at {access.endpoint}")]
    findings.append(await _try("credentials", lambda: _look_at_keys(credentials)))
    if findings[-1].status is FAIL:
        return findings
    findings.append(await _try("device", lambda: _look_at_device(see_device)))
    findings.append(await _try("bucket", lambda: _look_at_bucket(access, objects)))
    if not options.is_simulator:
        findings.append(await _look_at_limits(spending, options))
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


async def _look_at_limits(spending: DeviceSpending, options: Options) -> Finding:
    """The spending limits that the device has, and the one that is set before the first task."""
    wanted = options.spending_limit
    told = (
        f"{LIMIT_OPTION} in the backend's name sets one" if wanted is None else f"{wanted} is set before the first task"
    )
    try:
        found = await spending.find(purpose="diagnose")
    except BackendError as error:
        return Finding("limits", OK if wanted is None else WARN, f"the spending limits cannot be read: {error}")
    if not found:
        return Finding("limits", OK, f"the device has no spending limit at Amazon; {told}")
    limits = "; ".join(map(describe_limit, found))
    is_full = any(each.spent.micros + each.queued.micros >= each.limit.micros for each in found)
    asked = "" if wanted is None else f"; {told}"
    return Finding("limits", WARN if is_full else OK, f"spending limit {limits}{asked}")
