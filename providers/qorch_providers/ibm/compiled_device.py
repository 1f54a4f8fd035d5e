"""The device as circuits are compiled for it: a new calibration is in use once all known circuits are compiled anew."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from qorch.errors import QorchError
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest
from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import Options

_KEPT_CIRCUITS = 256
_KEPT_CONTEXTS = 1_024

Key = TypeVar("Key")
Value = TypeVar("Value")


class CompiledDevice:
    """Which state of the device is in use, and which was when a job was planned.

    A job is encoded for the device that its context is of, also after a calibration: it has the same bytes each time.
    """

    def __init__(self, latest: Callable[[], IbmDevice], compiler: IsaCompiler, options: Options) -> None:
        """``latest``: the device as it was last seen."""
        self._latest = latest
        self._compiler = compiler
        self._options = options
        self._in_use: IbmDevice | None = None
        self._circuits: OrderedDict[bytes, GateList] = OrderedDict()
        self._planned: OrderedDict[str, IbmDevice] = OrderedDict()
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()

    @property
    def now(self) -> IbmDevice:
        """For what is planned now. Raises what ``latest`` does."""
        latest = self._latest()
        if self._in_use is None or not self._circuits:
            self._in_use = latest
        return self._in_use

    async def compile(self, circuits: Sequence[GateList]) -> None:
        """Compile these circuits, and after a calibration all of before, in a thread; then the latest is in use.

        One call after the other: else a device would be in use for which another call's circuits are not compiled, and
        the event loop would compile them. Raises CircuitError for one of the circuits that cannot be compiled.
        """
        async with self._turn:
            device = self._latest()
            known = [] if device is self._in_use else list(self._circuits.values())
            work = [*known, *circuits]
            await asyncio.to_thread(self._compiler.compile_all, work, device=device, options=self._options)
            for gates in circuits:
                _remember(self._circuits, gates.digest, gates, most=_KEPT_CIRCUITS)
            self._in_use = device

    async def refresh(self) -> None:
        """After a look at the device: its latest state is in use if all circuits can be compiled for it."""
        with suppress(QorchError):
            await self.compile(())

    def note_context(self, context: bytes) -> None:
        """Jobs with this context are planned for the device that is in use."""
        with self._lock:
            _remember(self._planned, context.hex(), self.now, most=_KEPT_CONTEXTS)

    def planned(self, request: JobRequest) -> IbmDevice:
        """The device that a job was planned for, as its label says; the one in use if it does not."""
        context = request.label.context if request.label is not None else None
        with self._lock:
            found = self._planned.get(context or "")
        return found or self.now


def _remember(items: OrderedDict[Key, Value], key: Key, value: Value, *, most: int) -> None:
    """Keep the most recent ones."""
    items[key] = value
    items.move_to_end(key)
    while len(items) > most:
        items.popitem(last=False)
