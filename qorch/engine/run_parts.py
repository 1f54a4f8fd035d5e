"""What the parts of an engine share, for one run."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from qorch.engine.accounts import Accounts
from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.engine.reservation import Reservation
from qorch.engine.worker import Worker
from qorch.model.clock_offset import ServerClock
from qorch.ports.clock import Clock
from qorch.ports.policy import RunPolicy
from qorch.ports.store import Store


def ignore(_text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, eq=False)
class RunParts:
    """One of each. ``random`` draws the jitter of retries and pauses; ``server_clock``: that of a remote backend.

    ``note`` is told of trouble that a call waits for.
    """

    run_id: str
    store: Store
    journal: Journal
    accounts: Accounts
    reservation: Reservation
    worker: Worker
    recorder: Recorder
    clock: Clock
    policy: RunPolicy
    random: np.random.Generator
    server_clock: ServerClock = field(default_factory=ServerClock)
    note: Callable[[str], None] = ignore
