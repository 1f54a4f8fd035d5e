"""The settings of a training: read from the command line, stored with the run, and taken back by --resume."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from qorch.errors import ShotsError, UsageError
from qorch.model.budget import NO_BUDGET, Budget
from qorch.model.kinds import as_whole
from qorch.model.money import parse_money
from qorch.ports.policy import as_cache_policy
from qorch.ports.records import RunRecord

if TYPE_CHECKING:
    from qorch.workloads.base import Options, Workload

T = TypeVar("T")
MOST_COUNTED = 10**9
"""Largest number of epochs, samples or images that an option takes."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a training does; None is the workload's own default, until `fill_defaults`.

    ``own`` holds the options that only the workload knows, as text. ``sweep_budget``: of all trials together, if the
    training is one of a sweep.
    """

    workload: str
    name: str
    backend: str = "local"
    shots: int | Literal["exact"] | None = None
    epochs: int | None = None
    batch_size: int | None = None
    limit: int | Literal["all"] | None = None
    gradient: str | None = None
    budget: str | None = None
    cache: str | None = None
    data_dir: str | None = None
    seed: int = 0
    own: dict[str, str] = field(default_factory=dict)
    sweep_budget: str | None = None

    @property
    def exact_or_shots(self) -> int | None:
        """The shots as the library takes them: None for exact."""
        return None if self.shots == "exact" else self.shots


def read_shots(text: str) -> int | Literal["exact"]:
    """``"1024"`` or ``"exact"``. Raises ShotsError for anything else."""
    if text == "exact":
        return "exact"
    try:
        return int(text)
    except ValueError:
        raise ShotsError(f"--shots is '{text}'; give a whole number of at least 1, or exact") from None


def read_settings(workload: str, name: str, options: Mapping[str, str]) -> Settings:
    """The settings of a new run from options as text, by their names on the command line (``batch-size``).

    What is none of those that all workloads share is the workload's own. Raises UsageError for a value that cannot be.
    """
    shared = {option: text for option, text in options.items() if option in _READERS}
    given: dict[str, object] = {
        option.replace("-", "_"): _READERS[option](text, f"--{option}") for option, text in shared.items()
    }
    own = {option: text for option, text in options.items() if option not in shared}
    return new_settings(workload, given | {"name": name, "own": own})


def _read_count(text: str, name: str) -> int:
    number = int(text) if text.isdecimal() and text.isascii() else 0
    return as_whole(number or text, name, least=1, most=MOST_COUNTED)


def _read_text(text: str, _name: str) -> str:
    return text


_READERS: Mapping[str, Callable[[str, str], object]] = {
    "shots": lambda text, _: read_shots(text),
    "epochs": _read_count,
    "batch-size": _read_count,
    "limit": _read_count,
    "gradient": _read_text,
    "data-dir": _read_text,
}
SHARED_OPTIONS = tuple(_READERS)
"""The options of every workload, by their names on the command line, but its backend and seed."""


def new_settings(workload: str, given: Mapping[str, object]) -> Settings:
    """The settings of a new run, from the options that were given."""
    settings = msgspec.convert({"workload": workload, "name": workload, **given}, Settings)
    return replace(settings, budget=None) if settings.budget == NO_BUDGET else settings


def fill_defaults(settings: Settings, workload: "Workload") -> Settings:
    """The settings with the workload's defaults for those not given; the budget and the folder may still be None."""
    default = workload.defaults
    return replace(
        settings,
        shots=_first(settings.shots, default.shots, "exact"),
        epochs=_first(settings.epochs, default.epochs),
        batch_size=_first(settings.batch_size, default.batch_size),
        limit=_first(settings.limit, default.limit, "all"),
        gradient=_first(settings.gradient, default.gradient),
        cache=as_cache_policy(settings.cache).value,
        own={**default.own, **settings.own},
    )


def with_defaults(settings: Settings, workload: "Workload") -> Settings:
    """The settings with all defaults filled in: they are stored, so that a later default changes no resumed run."""
    from qorch.config import read_config

    filled = fill_defaults(settings, workload)
    data_dir = read_config().data_dir
    return replace(filled, data_dir=str(data_dir)) if filled.data_dir is None and data_dir is not None else filled


def as_stored(settings: Settings) -> dict[str, Any]:
    """The settings as they are kept with the run; what only trials of a sweep have is left out of any other."""
    stored: dict[str, Any] = msgspec.to_builtins(settings)
    return stored if settings.sweep_budget else {key: stored[key] for key in stored if key != "sweep_budget"}


def budgets_of_sweep(settings: Settings) -> tuple[Budget, ...]:
    """The budget that a trial shares with the other trials of its sweep; none of any other training."""
    from qorch.sweeps.trial import sweep_budget, sweep_of

    sweep = sweep_of(settings.name)
    if sweep is None or settings.sweep_budget is None:
        return ()
    return (sweep_budget(sweep, parse_money(settings.sweep_budget), backend=settings.backend),)


def as_options(settings: Settings) -> "Options":
    """The settings as workloads take them."""
    from qorch.workloads.base import Options

    return Options(
        shots=settings.exact_or_shots,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        limit=None if settings.limit == "all" else settings.limit,
        gradient=settings.gradient,
        data_dir=Path(settings.data_dir) if settings.data_dir else None,
        seed=settings.seed,
        own=settings.own,
    )


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def stored_settings(
    run: RunRecord, workload: str, *, given: Mapping[str, object], default_epochs: int
) -> tuple[Settings, bool]:
    """The settings with which a run is resumed, and whether it trains longer than it was started for.

    These are the settings with which it was started, and more epochs or another budget if those are given. Raises
    UsageError if another given option differs, or if the epochs are fewer.
    """
    if run.workload != workload:
        raise UsageError(f"run {run.run_id} trains {run.workload or 'a program of its own'}, not {workload}")
    try:
        settings = msgspec.json.decode(run.settings, type=Settings)
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"run {run.run_id} was not started by `qorch train`; continue it with the program that did"
        ) from error
    settings, is_longer = _with_epochs(run, settings, given.get("epochs"), default=default_epochs)
    settings = replace(settings, budget=_next_budget(run, given.get("budget")))
    stored = dict(_flatten(msgspec.to_builtins(settings)))
    for name, value in _flatten({name: value for name, value in given.items() if name != "budget"}):
        if stored.get(name) != value:
            before = "the default" if stored.get(name) is None else stored[name]
            raise UsageError(
                f"run {run.run_id} was started with --{name} {before}, and --{name} {value} is given now;"
                " leave it out, or start a new run"
            )
    return settings, is_longer


def _next_budget(run: RunRecord, given: object) -> str | None:
    """The budget with which a run goes on: the given one, or that which it has."""
    if given == NO_BUDGET:
        return None
    return str(given) if given is not None else str(run.budget) if run.budget else None


def _with_epochs(run: RunRecord, settings: Settings, given: object, *, default: int) -> tuple[Settings, bool]:
    before = default if settings.epochs is None else settings.epochs
    if not isinstance(given, int) or given == before:
        return (settings if given is None else replace(settings, epochs=before)), False
    if given < before:
        raise UsageError(
            f"run {run.run_id} was started with --epochs {before}, and --epochs {given} is given now;"
            " it can be trained longer, not shorter: leave it out, or start a new run"
        )
    return replace(settings, epochs=given), True


def _flatten(options: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in options.items():
        if isinstance(value, dict):
            yield from value.items()
        else:
            yield name.replace("_", "-"), value
