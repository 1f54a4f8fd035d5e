"""Which device is used, and how it is now: its documents, its state, and its calibration."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from qorch.errors import BackendError, BusyError, InvalidResultError, UnavailableError, UnknownNameError
from qorch.ports.clock import Clock
from qorch_providers.ibm.device import IbmDevice, check_device, read_device
from qorch_providers.ibm.options import LEAST_BUSY, Options
from qorch_providers.ibm.wire.client import IbmClient
from qorch_providers.ibm.wire.documents import IbmDeviceState

LOOK_AGAIN_SECONDS = 900.0
"""How long a calibration is taken for the latest before it is asked for again."""
TRY_AGAIN_SECONDS = 60.0
"""How long nothing is asked by itself after a look that failed, or while one is under way: submissions wait for it."""
_SHOWN = 12


@dataclass(frozen=True, eq=False)
class SeenIbmDevice:
    """A device at one moment."""

    device: IbmDevice
    state: IbmDeviceState


class DeviceWatch:
    """The device of a backend. ``name`` is empty until it was looked at, if the target is the least busy one."""

    def __init__(self, client: Callable[[], Awaitable[IbmClient]], options: Options, *, clock: Clock) -> None:
        """``client``: may ask for the instance first. Nothing is asked yet."""
        self.name = "" if options.target == LEAST_BUSY else options.target
        self._client = client
        self._options = options
        self._clock = clock
        self._device: IbmDevice | None = None
        self._looked_ns = 0
        self._tried_ns: int | None = None
        self._absence = ""

    @property
    def device(self) -> IbmDevice:
        """As it was last seen. Raises BackendError if it never was, UnknownNameError if it is not there any more."""
        if self._absence:
            raise UnknownNameError(self._absence)
        if self._device is None:
            raise BackendError(f"ibm:{self._options.target} is not open yet, so its gates are not known; open it first")
        return self._device

    @property
    def is_old(self) -> bool:
        """Whether the calibration should be asked for again."""
        now_ns = self._clock.monotonic_ns()
        if self._tried_ns is not None and now_ns - self._tried_ns <= TRY_AGAIN_SECONDS * 1e9:
            return False
        return now_ns - self._looked_ns > LOOK_AGAIN_SECONDS * 1e9

    async def look(self) -> SeenIbmDevice:
        """The device as it is now; its calibration holds for what follows.

        Raises UnknownNameError if the instance has no such device, UsageError for options that it does not have,
        UnavailableError if none of the instance's devices is online and the least busy one is wanted.
        """
        self._tried_ns = self._clock.monotonic_ns()
        client = await self._client()
        if not self.name:
            self.name = await _choose(client)
        state, properties = await asyncio.gather(client.state(self.name), client.properties(self.name))
        if state is None:
            raise await self._note_absent(client)
        self._absence = ""
        await self._update(client, properties or b"")
        self._looked_ns = self._clock.monotonic_ns()
        return SeenIbmDevice(self.device, state)

    async def has_jobs(self) -> bool:
        """Whether the instance has jobs of the device, which may be there no more."""
        return await (await self._client()).has_jobs(self.name)

    async def _update(self, client: IbmClient, properties: bytes) -> None:
        """Read the documents, unless they are those that were read before."""
        if self._device is not None and self._device.properties == properties:
            return
        configuration = await client.configuration(self.name)
        if configuration is None:
            raise await self._note_absent(client)
        has_fractional = self._options.has_fractional
        try:
            device = await asyncio.to_thread(read_device, configuration, properties, has_fractional=has_fractional)
        except InvalidResultError as error:
            raise BusyError(f"what IBM says of its device cannot be read ({error}); it is asked again") from error
        check_device(device, self._options)
        if self._device is None or self._device.calibration != device.calibration:
            self._device = device

    async def _note_absent(self, client: IbmClient) -> UnknownNameError:
        names = sorted(line.name for line in await client.devices())
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        choice = f"choose one that it has ({shown})" if shown else "it has none, so use another instance"
        self._absence = f"the instance has no device {self.name}, or not any more: {choice}"
        return UnknownNameError(self._absence)


async def _choose(client: IbmClient) -> str:
    """The name of the device with the fewest waiting jobs, of those that are online."""
    lines = [line for line in await client.devices() if line.is_online and not line.is_simulator]
    if not lines:
        raise UnavailableError("no device of the instance is online; name one, whose jobs are sent once it is")
    return min(lines, key=lambda line: (line.waiting is None, line.waiting or 0, line.name)).name
