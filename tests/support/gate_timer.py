"""A timer in which one latency of an emulator ends when the test says so, and not after a time that was guessed."""

import asyncio
import math
import threading

from qorch_providers.emulators.kit.clock import MachineTimer

PATIENCE_SECONDS = 60.0


class GateTimer(MachineTimer):
    """The machine's time, but that waits of ``seconds`` last until ``release``."""

    def __init__(self, seconds: float) -> None:
        """Nothing is released yet."""
        self._seconds = seconds
        self._is_released = threading.Event()

    def release(self) -> None:
        """End the waits of that length, those to come included."""
        self._is_released.set()

    async def sleep(self, seconds: float) -> None:
        """Wait for so long, or until it is released."""
        if not math.isclose(seconds, self._seconds):
            await super().sleep(seconds)
            return
        assert await asyncio.to_thread(self._is_released.wait, PATIENCE_SECONDS), "nothing was released"
