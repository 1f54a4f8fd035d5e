"""Looks at account, instance, device and limits without paying for anything: one sentence each."""

from collections.abc import Awaitable, Callable

from qorch.errors import QorchError
from qorch.ports.backend import Finding, FindingStatus
from qorch_providers.ibm.access import IbmAccess
from qorch_providers.ibm.device_watch import SeenIbmDevice
from qorch_providers.ibm.options import ExecutionMode, Options
from qorch_providers.ibm.wire.client import IbmClient

OK, WARN, FAIL = FindingStatus.OK, FindingStatus.WARN, FindingStatus.FAIL


async def diagnose(
    access: IbmAccess,
    options: Options,
    *,
    connect: Callable[[], Awaitable[IbmClient]],
    see_device: Callable[[], Awaitable[SeenIbmDevice]],
) -> list[Finding]:
    """What was found, in the order in which it would stop a run. Raises nothing that qorch knows."""
    findings = [Finding("account", OK, f"the key is from {access.source}; tokens come from {access.iam_url}")]
    findings.append(await _try("instance", lambda: _look_at_instance(connect)))
    if findings[-1].status is not FAIL:
        findings.append(await _try("device", lambda: _look_at_device(see_device)))
        findings.append(Finding("limits", OK, tell_limits(options)))
    return findings


def tell_limits(options: Options) -> str:
    """What limits the cost of jobs at IBM, as the options are; that of the instance has its own line."""
    job = f"IBM cancels a job after {options.max_seconds:,} s of the device, and charges these (max_time=SECONDS)"
    if options.mode is ExecutionMode.JOB:
        return job
    ttl = f"{options.max_ttl_seconds:,} s (max_ttl=SECONDS)"
    return f"{job}; it ends a {options.mode} after {ttl}, and another one follows"


async def _try(name: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        return await look()
    except QorchError as error:
        return Finding(name, FAIL, str(error))


async def _look_at_instance(connect: Callable[[], Awaitable[IbmClient]]) -> Finding:
    usage = await (await connect()).usage()
    of = "" if usage.limit_seconds is None else f" of {usage.limit_seconds:,.0f}"
    told = f"the key may use it; {usage.used_seconds:,.0f}{of} QPU seconds are used"
    if usage.is_reached:
        return Finding("instance", FAIL, f"{told}: the limit is reached; wait for the next period, or raise it")
    return Finding("instance", OK, told)


async def _look_at_device(see_device: Callable[[], Awaitable[SeenIbmDevice]]) -> Finding:
    seen = await see_device()
    state, name = seen.state, seen.device.name
    queue = "" if state.waiting is None else f"; {state.waiting} jobs wait"
    if state.is_active:
        return Finding("device", OK, f"{name} has {seen.device.n_qubits} qubits and is active{queue}")
    return Finding("device", WARN, f"{name} is in '{state.status}': jobs are sent once it is active{queue}")
