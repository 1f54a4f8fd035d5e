"""An emulator of IonQ's REST service: the real protocol, v0.4 and v0.3, on loopback, and really simulated circuits."""

from qorch_providers.emulators.ionq.server import RunningEmulator, serve, start
from qorch_providers.emulators.ionq.settings import Settings

__all__ = ["RunningEmulator", "Settings", "serve", "start"]
