"""The checks of `qorch doctor ionq:…`: the key, the machine, and what limits the cost of jobs. Nothing is paid."""

from qorch.errors import BackendError, CredentialsError
from qorch.model.job import Availability
from qorch.model.text import format_count
from qorch.ports.backend import Finding, FindingStatus
from qorch_providers.ionq.access import KEY_NAME
from qorch_providers.ionq.jobs.sessions import describe_limits, session_mode
from qorch_providers.ionq.options import Options
from qorch_providers.ionq.wire.client import IonqClient, NoListError

_HOW_TO_LIMIT = "IonQ limits nothing of what jobs cost; mode=session,max_cost=25USD in the backend's name lets it"
_SHOWN = 3


async def diagnose(client: IonqClient, options: Options) -> list[Finding]:
    """Findings ``key`` and ``machine``, and of a machine that charges ``limits``; raises nothing.

    ``address`` alone if no server answers as IonQ's does.
    """
    try:
        findings = [await _check_key(client), await _check_machine(client, options.target)]
    except BackendError as error:
        return [Finding("address", FindingStatus.FAIL, str(error))]
    if not options.is_simulator and findings[0].status is not FindingStatus.FAIL:
        findings.append(await _check_limits(client, options))
    return findings


async def _check_key(client: IonqClient) -> Finding:
    """By the list of jobs: IonQ describes its machines to everyone."""
    try:
        await client.page((), purpose="diagnose")
    except CredentialsError as error:
        return Finding("key", FindingStatus.FAIL, str(error))
    except NoListError as error:
        return Finding(
            "key", FindingStatus.WARN, f"{error}, so whether it accepts the key shows only when a job is sent"
        )
    return Finding("key", FindingStatus.OK, f"{client.base_url} accepts the key in {KEY_NAME}")


async def _check_machine(client: IonqClient, target: str) -> Finding:
    try:
        found = await client.availability(target)
    except CredentialsError as error:
        return Finding("machine", FindingStatus.FAIL, str(error))
    if found is None:
        return Finding("machine", FindingStatus.FAIL, missing_machine(target))
    return Finding("machine", _status_of(found[0]), str(found[0]))


def missing_machine(target: str) -> str:
    """The sentence for a machine that IonQ does not have."""
    return f"IonQ has no backend {target}; its list is at GET /backends"


def _status_of(availability: Availability) -> FindingStatus:
    return FindingStatus.OK if availability.is_open else FindingStatus.WARN


async def _check_limits(client: IonqClient, options: Options) -> Finding:
    """What limits the cost of jobs at IonQ, and which sessions are open on the machine now."""
    wants_session = bool(session_mode(options))
    told = _tell_limits(options) if wants_session else _HOW_TO_LIMIT
    try:
        listed = await client.sessions(purpose="diagnose")
    except BackendError as error:
        status = FindingStatus.WARN if wants_session else FindingStatus.OK
        return Finding("limits", status, f"{told}. Sessions cannot be listed: {error}")
    here = [each for each in listed if each.device == options.target and not each.is_over]
    shown = "; ".join(f"{each.session_id} ({describe_limits(each.limits)})" for each in here[:_SHOWN])
    more = f" and {len(here) - _SHOWN} more" if len(here) > _SHOWN else ""
    return Finding("limits", FindingStatus.OK, f"{told}. Open sessions on {options.target}: {shown or 'none'}{more}")


def _tell_limits(options: Options) -> str:
    limits = (
        "" if options.max_cost is None else f"at {options.max_cost}",
        "" if options.max_jobs is None else f"after {format_count(options.max_jobs, 'job')}",
        "" if options.max_ttl_seconds is None else f"after {options.max_ttl_seconds:,} s",
    )
    return f"jobs run in a session of the run, which IonQ ends {' or '.join(filter(None, limits))}"
