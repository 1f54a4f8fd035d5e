"""Settings that a program uses, such as shots and epochs: recorded by every session, compared when a run resumes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from qorch.errors import RunChangedError, UnknownNameError
from qorch.model.kinds import as_items
from qorch.ports.records import SessionRecord

CHANGES = {
    "shots": "shots",
    "settings": "settings",
    "epochs": "epochs",
    "batch_size": "a batch size of",
    "batches": "batches of an epoch:",
    "gradient": "gradient",
    "learning_rate": "learning rate",
}
"""The names that `allow_changes` takes, each with its wording in messages."""


def as_changes(names: str | Iterable[str]) -> frozenset[str]:
    """The names in ``allow_changes``, one or several. Raises UnknownNameError for any other name."""
    listed = [names] if isinstance(names, str) else as_items(names, "allow_changes", wanted="a list of names")
    chosen = frozenset(map(str, listed))
    unknown = sorted(chosen - CHANGES.keys())
    if unknown:
        raise UnknownNameError(f"allow_changes has '{unknown[0]}'; it takes {', '.join(CHANGES)}")
    return chosen


class UsedSettings:
    """The settings that a run's sessions used; None for a setting that changed within a session: it is not compared."""

    def __init__(self, run_id: str, sessions: Iterable[SessionRecord] = (), *, allowed: frozenset[str]) -> None:
        """``sessions``: the earlier ones, in order. ``allowed``: settings that may differ from theirs, see CHANGES."""
        self._run_id = run_id
        self._allowed = allowed
        self._before: dict[str, Any] = {}
        for session in sessions:
            self._before |= json.loads(session.used_settings)
        # What may differ is unknown from now on, also if this session ends before it uses anything.
        self._forgotten = {key: None for key in self._before if key.partition(" ")[0] in allowed}
        self._now: dict[str, Any] = {}
        self._text = json.dumps(self._forgotten)

    def allows(self, name: str) -> bool:
        """Whether the user allowed this setting to differ from what the run was started with."""
        return name in self._allowed

    def see(self, name: str, value: Any, *, scope: str = "") -> None:
        """Record a value (as JSON) that the program uses; None is unknown. ``scope``: of which loop, or key, it is.

        Raises RunChangedError if earlier sessions used another value, unless that is allowed.
        """
        key = f"{name} {scope}".strip()
        if value is None or (key in self._now and self._now[key] in (value, None)):
            return
        if key in self._now:
            value = None
        elif name not in self._allowed and self._before.get(key) not in (value, None):
            raise RunChangedError(self._describe(name, scope, value))
        self._now[key] = value
        self._text = json.dumps(self._forgotten | self._now)

    def see_settings(self, settings: Mapping[str, Any]) -> None:
        """The settings that the program gives to `start_run`, one by one. Raises RunChangedError."""
        for key, value in settings.items():
            self.see("settings", value, scope=key)

    def encode(self) -> str:
        """The settings of this session, as JSON text."""
        return self._text

    def _describe(self, name: str, scope: str, value: Any) -> str:
        before = self._before[f"{name} {scope}".strip()]
        words = f"{CHANGES[name]} {scope} =" if name == "settings" else CHANGES[name]
        return (
            f"run {self._run_id} was started with {words} {before}, and the program has {value} now."
            " Restore what it was, start a new run without resume,"
            f" or go on with the new value: start_run(..., allow_changes=['{name}'])"
        )
