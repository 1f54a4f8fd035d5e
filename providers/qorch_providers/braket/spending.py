"""The spending limits that a device has at Amazon: shown, and set where the backend's name asks for one.

Amazon itself refuses a task whose list price goes beyond what is left of a limit, whoever sends it. A limit that
somebody else has set is never changed: it may stand for what others may spend.
"""

import asyncio
import hashlib
import secrets

from qorch.errors import SpendingLimitError
from qorch.model.money import Money
from qorch_providers.braket.options import Options
from qorch_providers.braket.wire.client import BraketClient
from qorch_providers.braket.wire.spending_documents import SpendingLimit

LIMIT_OPTION = "spending_limit=25USD"
"""An example of what sets a limit."""


class DeviceSpending:
    """The spending limits of one device, in one event loop."""

    def __init__(self, client: BraketClient, options: Options) -> None:
        """Nothing is asked yet."""
        self._client = client
        self._arn = options.device_arn
        self._wanted = options.spending_limit
        self._turn = asyncio.Lock()
        self._is_set = False
        # One token for all tries of this process: a limit that was deleted meanwhile can be made anew by the next.
        self._token = secrets.token_hex(32)

    async def find(self, *, purpose: str) -> list[SpendingLimit]:
        """The limits of the device. Raises what a search raises."""
        found = await self._client.spending_limits(self._arn, purpose=purpose)
        return [each for each in found if each.device_arn == self._arn]

    async def ensure(self) -> None:
        """Set the limit that is wanted, once; nothing if none is.

        Raises SpendingLimitError if somebody else has set a higher one, or Braket sets none; BusyError if no answer
        comes, CredentialsError if the credentials may not set one.
        """
        if self._wanted is None:
            return
        async with self._turn:
            if not self._is_set:
                await self._set(self._wanted)
                self._is_set = True

    async def _set(self, wanted: Money) -> None:
        found = await self.find(purpose="limit")
        if not found:
            refusal = await self._client.create_spending_limit(self._arn, wanted, token=self._token)
            if not refusal:
                return
            found = await self.find(purpose="limit")  # another process may have set one meanwhile
            if not found:
                raise _cannot_set(wanted, refusal)
        ours = [each for each in found if each.is_ours]
        for each in ours:
            await self._adjust(each, wanted)
        if not ours and min(each.limit.micros for each in found) > wanted.micros:
            raise SpendingLimitError(
                f"the device has a spending limit of {found[0].limit} that qorch has not set, and qorch changes only"
                f" its own: lower it to {wanted} (`aws braket update-spending-limit --spending-limit-arn"
                f" {found[0].arn} --spending-limit …`), or leave spending_limit= out"
            )

    async def _adjust(self, ours: SpendingLimit, wanted: Money) -> None:
        """Change the amount of a limit of qorch's; the token names the state that it had."""
        if ours.limit == wanted:
            return
        token = hashlib.sha256(f"{ours.arn}/{ours.updated}/{wanted}".encode()).hexdigest()
        refusal = await self._client.update_spending_limit(ours.arn, wanted, token=token)
        if refusal:
            raise _cannot_set(wanted, refusal)


def _cannot_set(wanted: Money, refusal: str) -> SpendingLimitError:
    return SpendingLimitError(
        f"{refusal}: the spending limit of {wanted} cannot be set, so no task is sent; set one by hand, and leave"
        " spending_limit= out"
    )


def describe_limit(found: SpendingLimit) -> str:
    """What a limit is, and how much of it is used."""
    until = "" if found.ends_at is None else f" until {found.ends_at:%Y-%m-%d}"
    whose = "set by qorch" if found.is_ours else "not set by qorch"
    return f"{found.limit}{until}, of which {found.spent} are spent and {found.queued} are queued ({whose})"
