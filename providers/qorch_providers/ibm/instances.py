"""Which instance is used, if its CRN is not given: the one of that name, or the only one of the account."""

from collections.abc import Sequence

from qorch.errors import UsageError
from qorch_providers.ibm.account import INSTANCE_NAME
from qorch_providers.ibm.wire.documents import IbmInstance

_SHOWN = 6


def choose_instance(instances: Sequence[IbmInstance], name: str) -> str:
    """The CRN. Raises UsageError, which names the instances, unless there is exactly one.

    A search may list an instance twice, and others that have no devices (any more): those do not count beside one that
    has.
    """
    unique = {each.crn: each for each in instances}.values()
    instances = [each for each in unique if each.has_devices] or list(unique)
    found = [each for each in instances if name in ("", each.name)]
    if len(found) == 1:
        return found[0].crn
    shown = "; ".join(f"{each.name}: {each.crn}" for each in (found or instances)[:_SHOWN])
    if not instances:
        raise UsageError("the account has no instance of IBM Quantum; make one at https://quantum.cloud.ibm.com")
    if name and not found:
        raise UsageError(
            f"the account has no instance named '{name}': set {INSTANCE_NAME} to one of those that it has ({shown})"
        )
    raise UsageError(
        f"the account has {len(found)} instances{f' named {name}' if name else ''}, and which of them pays is not for"
        f" qorch to choose: set {INSTANCE_NAME}=CRN, or add instance=CRN to the backend's name ({shown})"
    )
