"""The checks of `qorch doctor ionq:…`: does IonQ accept the key, and does it have the machine? Nothing is paid."""

from qorch.errors import BackendError, CredentialsError
from qorch.model.job import Availability
from qorch.ports.backend import Finding, FindingStatus
from qorch_providers.ionq.access import KEY_NAME
from qorch_providers.ionq.wire.client import IonqClient, NoListError


async def diagnose(client: IonqClient, *, target: str) -> list[Finding]:
    """Findings ``key`` and ``machine``; ``address`` alone if no server answers as IonQ's does. Raises nothing."""
    try:
        key = await _check_key(client)
        return [key, await _check_machine(client, target)]
    except BackendError as error:
        return [Finding("address", FindingStatus.FAIL, str(error))]


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
