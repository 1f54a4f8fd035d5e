"""The composition root: names become backends, stores and runs here, and nowhere else."""

import json
import logging
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from qorch.audit.report import make_report
from qorch.config import Config, read_config
from qorch.engine.recorder import Recorder
from qorch.errors import MissingPackageError, ShotsError, UnknownNameError, UsageError
from qorch.model.money import Money, parse_money
from qorch.model.pub import as_shots
from qorch.model.whole import as_whole
from qorch.policy import RunPolicy, as_cache_policy
from qorch.portal import Portal
from qorch.ports import Backend, Clock, Store, WallClock
from qorch.progress import make_progress
from qorch.records import RunRecord, RunState, SessionRecord
from qorch.resources import Progress, Resources
from qorch.run import Run
from qorch.used_settings import UsedSettings, as_changes

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID_SUFFIX = re.compile(r"-\d{8}-\d{6}-[0-9a-f]{4}\Z")
_NEWEST = "latest"
_log = logging.getLogger("qorch")


def start_run(
    name: str,
    *,
    backend: str | Backend,
    budget: str | Money | None = None,
    cache: str | None = None,
    seed: int | None = None,
    shots: int | None = None,
    db: str | os.PathLike[str] | Store | None = None,
    resume: bool = False,
    rebuy: bool = False,
    allow_changes: str | Iterable[str] = (),
    workload: str | None = None,
    settings: dict[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    clock: Clock | None = None,
) -> Run:
    """Start a training run, or with ``resume`` continue the newest run of that name (or id) where there is one.

    ``backend``: a name such as ``"local"`` (see ``qorch backends``). ``budget``: an amount such as ``"25 USD"``.
    ``cache``: ``resume``, ``reuse``, ``top_up`` or ``off``. ``seed``: of every random number of the backend; drawn
    and recorded where it is None. ``shots``: of pubs that do not say, None for exact. ``db``: URL or path of the
    database. ``rebuy``: go on where paid positions have changed. ``allow_changes``: what may differ from what the run
    was started with: ``shots``, ``settings``, ``epochs``, ``batch_size``, ``batches``, ``gradient``, ``learning_rate``.

    Raises UsageError for any of these that cannot be, StoreError where the database cannot be used, RunBusyError
    where another process works on the run, RunChangedError where the run was started with other shots or settings:
    all before anything is executed.
    """
    config, clock = read_config(), clock or WallClock()
    recorder = Recorder(clock)
    policy = RunPolicy(cache=as_cache_policy(cache), budget=_as_budget(budget), rebuy=rebuy)
    default_shots = _as_default_shots(shots)
    _check_name(name)
    seed = None if seed is None else as_whole(seed, "seed")
    stored_settings, allowed = _encode(settings), as_changes(allow_changes)
    # The stream that it shows on may be gone: now is the time to find that out.
    show = progress or make_progress()
    release = ExitStack()
    with ExitStack() as stack:
        device = _as_backend(backend, config=config, clock=clock)
        store = _enter_store(stack, db or config.db, clock=clock)
        found = store.find_run(name) if resume else None
        new = found or _new_record(name, device, policy, seed, clock, workload, stored_settings)
        record = _continued(new, device, seed, settings=stored_settings) if found else new
        stack.enter_context(store.claim_run(record.run_id))
        used = UsedSettings(record.run_id, store.sessions(record.run_id), allowed=allowed)
        used.see("shots", "exact" if default_shots is None else default_shots)
        used.see_settings(json.loads(stored_settings))
        if found and found.state == RunState.DONE and not allowed:
            _log.warning(
                "run %s is complete already: its loops are not run again. To train longer, give more epochs and"
                " allow_changes=['epochs']; for a new run, leave out resume",
                record.run_id,
            )
        portal = stack.enter_context(closing(Portal()))
        run = Run(
            Resources(
                record=record,
                session=_begin_session(store, record, is_resumed=found is not None, clock=clock),
                policy=policy,
                backend=device,
                store=store,
                clock=clock,
                recorder=recorder,
                portal=portal,
                default_shots=default_shots,
                is_resumed=found is not None,
                used=used,
                report=make_report,
                show=show,
                release=release.close,
            )
        )
        # From here on the run owns what was opened; before, any error closes it again.
        release.push(stack.pop_all())
    return run


def _as_default_shots(shots: int | None) -> int | None:
    checked = as_shots(shots)
    if checked == "run":
        raise ShotsError("the run's own shots cannot be 'run'; give a number, or None for exact values")
    return checked


def _as_backend(backend: str | Backend, *, config: Config, clock: Clock) -> Backend:
    if isinstance(backend, str):
        return open_backend(backend, config=config, clock=clock)
    if not hasattr(backend, "capabilities"):
        raise UsageError(f"backend is a {type(backend).__name__}; give a name such as 'local', or a Backend")
    return backend


def _enter_store(stack: ExitStack, db: str | os.PathLike[str] | Store, *, clock: Clock) -> Store:
    """The store, which the stack closes where it was opened here."""
    if not isinstance(db, str | os.PathLike):
        if not hasattr(db, "claim_run"):
            raise UsageError(f"db is a {type(db).__name__}; give the path of a database, its URL, or a Store")
        return db
    return stack.enter_context(closing(open_store(db, clock=clock)))


def _begin_session(store: Store, record: RunRecord, *, is_resumed: bool, clock: Clock) -> SessionRecord:
    """The session of this process. A new run is written down with it once the backend is open."""
    session = SessionRecord(
        run_id=record.run_id,
        ordinal=len(store.sessions(record.run_id)),
        pid=os.getpid(),
        host=socket.gethostname(),
        started_at=clock.now(),
    )
    if is_resumed:
        # `qorch cancel` must find the process that works on the run, also while its backend opens.
        store.write([session]).result()
    return session


def _as_budget(budget: str | Money | None) -> Money | None:
    if budget is None or isinstance(budget, Money):
        return budget
    return parse_money(budget if isinstance(budget, str) else repr(budget))


def _encode(settings: dict[str, Any] | None) -> str:
    try:
        return json.dumps(settings or {})
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"settings are kept as JSON, which these cannot be: {error}") from error


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise UsageError(f"the run's name is a {type(name).__name__}; give a text such as cats-vs-dogs")
    if name == _NEWEST:
        raise UsageError(f"a run cannot be named '{name}', which stands for the newest run; choose another name")
    # A run's id, by which it may be resumed, is its name with a time and four digits.
    if not _NAME.fullmatch(name) and not _NAME.fullmatch(_ID_SUFFIX.sub("", name)):
        raise UsageError(
            f"'{name}' is no name for a run; use up to 64 letters, digits, '.', '_' and '-', such as cats-vs-dogs"
        )


def _new_record(
    name: str,
    device: Backend,
    policy: RunPolicy,
    seed: int | None,
    clock: Clock,
    workload: str | None,
    settings: str,
) -> RunRecord:
    now = clock.now()
    return RunRecord(
        run_id=f"{name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        name=name,
        backend=device.name,
        seed=secrets.randbelow(2**32) if seed is None else seed,
        cache=policy.cache.value,
        created_at=now,
        workload=workload,
        settings=settings,
        budget_micros=policy.budget.micros if policy.budget else None,
        currency=policy.budget.currency if policy.budget else None,
        summary=_with_charges("{}", device),
        charges=device.capabilities.charges,
    )


def _continued(record: RunRecord, device: Backend, seed: int | None, *, settings: str) -> RunRecord:
    """The record of a run that goes on. Raises UsageError where it was cancelled, or would become another run."""
    if record.state == RunState.CANCELLED:
        raise UsageError(f"run {record.run_id} was cancelled, which is for good; start a new one, without resume")
    if record.backend != device.name:
        raise UsageError(
            f"run {record.run_id} was started on {record.backend}; it cannot go on with {device.name}."
            " Start a new run, or name the same backend"
        )
    if seed is not None and seed != record.seed:
        raise UsageError(f"run {record.run_id} was started with seed {record.seed}; it cannot go on with seed {seed}")
    return replace(
        record,
        state=RunState.RUNNING,
        settings=record.settings if settings == "{}" else settings,
        summary=_with_charges(record.summary, device),
        charges=device.capabilities.charges,
        stop_asked_at=None,
    )


def _with_charges(summary: str, device: Backend) -> str:
    """The summary, and whether the run's jobs cost money: reports are made without the backend."""
    return json.dumps(json.loads(summary) | {"charges": device.capabilities.charges})


def open_store(db: str | os.PathLike[str], *, clock: Clock) -> Store:
    """Open (and where needed create) a database. Raises StoreError."""
    from qorch_jobs_db import open_store as open_sql_store

    return open_sql_store(os.fspath(db), clock=clock)


def backend_entry_points() -> dict[str, EntryPoint]:
    """All installed backends by the first part of their names."""
    return {entry.name: entry for entry in sorted(entry_points(group="qorch.backends"))}


def open_backend(name: str, *, config: Config, clock: Clock) -> Backend:
    """The backend of that name, such as ``aer`` or ``aer:noise=fake_fez``.

    Raises UnknownNameError for another name, MissingPackageError where its extra is not installed.
    """
    kind, _, options = name.partition(":")
    known = backend_entry_points()
    if kind not in known:
        raise UnknownNameError(f"there is no backend '{name}'; installed are: {', '.join(known)}")
    try:
        factory = known[kind].load()
    except ImportError as error:
        raise MissingPackageError(f"backend '{kind}' needs {error.name}: pip install 'qorch[{kind}]'") from error
    backend: Backend = factory(options, clock=clock, workers=config.workers, environment=config.environment)
    return backend
