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
from typing import Any, Literal

import numpy as np

from qorch.audit.report import make_report
from qorch.backends import find_backend
from qorch.config import LATEST, read_config
from qorch.engine.recorder import Recorder
from qorch.environment import begin_describing, describe_environment
from qorch.errors import ShotsError, UsageError
from qorch.limits import check_budget
from qorch.model.kinds import check_kind
from qorch.model.money import Money, parse_money
from qorch.model.pub import as_shots
from qorch.model.timing import Phase
from qorch.model.whole import as_whole
from qorch.ports.backend import Backend, SlowStarter
from qorch.ports.clock import Clock, WallClock
from qorch.ports.policy import RunPolicy, as_cache_policy
from qorch.ports.records import RunRecord, RunState, SessionRecord, StopRequest
from qorch.ports.store import Store
from qorch.progress.display import make_progress, no_progress
from qorch.run.import_watch import ImportWatch
from qorch.run.portal import Portal
from qorch.run.resources import Progress, Resources
from qorch.run.run import Run
from qorch.run.used_settings import UsedSettings, as_changes
from qorch.stores import open_store as open_store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID_SUFFIX = re.compile(r"-\d{8}-\d{6}-[0-9a-f]{4}\Z")
NO_BUDGET = "none"
"""In place of an amount: a run that was started with a budget goes on without one."""
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
    progress: Callable[[Progress], None] | Literal["off"] | None = None,
    clock: Clock | None = None,
    is_command: bool = False,
) -> Run:
    """Start a training run, or with ``resume`` continue the newest run of that name (or id) if there is one.

    ``backend``: a name such as ``"local"`` (see ``qorch backends``). ``budget``: an amount such as ``"25 USD"``;
    nothing enforces it yet, so a backend that charges refuses it, and ``"none"`` resumes a run there that has one.
    ``cache``: ``resume``, ``reuse``, ``top_up`` or ``off``. ``seed``: of every random number of the backend; drawn
    and recorded if it is None. ``shots``: of pubs that do not say, None for exact. ``db``: URL or path of the
    database. ``rebuy``: go on if paid positions have changed. ``allow_changes``: what may differ from what the run
    was started with: ``shots``, ``settings``, ``epochs``, ``batch_size``, ``batches``, ``gradient``, ``learning_rate``.
    ``progress``: a function that is called with a ``Progress`` after every step, in the thread of the training loop,
    and whose errors end the run; ``"off"`` shows nothing; None is qorch's own line on standard error or below the
    notebook's cell. ``is_command``: this process is the command ``qorch``, which says itself how to resume, and which
    ``qorch cancel`` may end.

    Raises UsageError for an invalid argument, StoreError if the database cannot be used, RunBusyError if another
    process works on the run, RunChangedError if the run was started with other shots or settings: all before anything
    is executed.
    """
    _check_kinds(db=db, clock=clock, resume=resume, rebuy=rebuy, workload=workload, settings=settings)
    begin_describing()
    config, clock = read_config(), clock or WallClock()
    recorder = Recorder(clock)
    policy = RunPolicy(
        cache=as_cache_policy(cache),
        budget=_as_budget(budget),
        rebuy=rebuy,
        keep_free_bytes=config.keep_free_bytes,
    )
    default_shots = _as_default_shots(shots)
    _check_name(name)
    seed = None if seed is None else as_whole(seed, "seed")
    stored_settings, allowed = _encode(settings), as_changes(allow_changes)
    release = ExitStack()
    show = _choose_display(progress, name, release)
    with ExitStack() as stack:
        _watch_imports(stack, recorder, clock)
        device = find_backend(backend, config=config, clock=clock)
        check_budget(device, policy.budget)
        if isinstance(device, SlowStarter):
            recorder.watch(device.take_slow_starts)
        store = _enter_store(stack, db or config.db, clock=clock)

        def go_on(run: RunRecord) -> RunRecord:
            return _continued(_without_budget(run, device, budget), device, seed, settings=stored_settings)

        found = store.find_run(name) if resume else None
        new = found or _new_record(name, device, policy, seed, clock, workload, stored_settings)
        record = go_on(new) if found else new
        stack.enter_context(store.claim_run(record.run_id))
        if found:
            # Until now another process may have worked on it, or have cancelled it.
            found = store.find_run(record.run_id) or replace(record, state=RunState.DELETED)
            record = go_on(found)
        used = UsedSettings(record.run_id, store.sessions(record.run_id), allowed=allowed)
        used.see("shots", "exact" if default_shots is None else default_shots)
        used.see_settings(json.loads(stored_settings))
        if found and not allowed:
            _say_if_complete(found)
        portal = stack.enter_context(closing(Portal()))
        run = Run(
            Resources(
                record=record,
                session=_begin_session(store, record, is_resumed=found is not None, is_command=is_command, clock=clock),
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


def _say_if_complete(found: RunRecord) -> None:
    if found.state == RunState.DONE:
        _log.warning(
            "run %s is complete already: its loops are not run again. To train longer, give more epochs and"
            " allow_changes=['epochs']; for a new run, leave out resume",
            found.run_id,
        )


def _check_kinds(
    *, db: object, clock: object, resume: object, rebuy: object, workload: object, settings: object
) -> None:
    """Raise UsageError for what would be taken for something else, or fail late."""
    for name, value in (("resume", resume), ("rebuy", rebuy)):
        check_kind(value, int | np.bool_ | None, name, wanted="True or False")
    check_kind(workload, str | None, "workload", wanted="its name, or leave it out")
    check_kind(settings, dict | None, "settings", wanted="a dict")
    if not (db is None or isinstance(db, str | os.PathLike) or hasattr(db, "claim_run")):
        raise UsageError(f"db is a {type(db).__name__}; give the path of a database, its URL, or a Store")
    if not (clock is None or hasattr(clock, "monotonic_ns")):
        raise UsageError(f"clock is a {type(clock).__name__}; give a Clock, or leave it out")


def _watch_imports(stack: ExitStack, recorder: Recorder, clock: Clock) -> None:
    """Measure imports until the end of the first step, when the spans are first drained."""
    watch = ImportWatch(clock)
    stack.callback(watch.stop)

    def take() -> list[tuple[Phase, int, int]]:
        watch.stop()
        return [(Phase.IMPORT, begun_ns, ended_ns) for begun_ns, ended_ns in watch.take_intervals()]

    recorder.watch(take)


def _choose_display(
    progress: Callable[[Progress], None] | Literal["off"] | None, name: str, release: ExitStack
) -> Callable[[Progress], None]:
    """The function that shows the run; qorch's own display ends with the run."""
    if progress is None:
        # Made now, so that a stream which cannot be used is found before the run begins.
        display = make_progress(name=name)
        release.callback(display.close)
        return display
    if isinstance(progress, str) and progress == "off":
        return no_progress
    if not callable(progress):
        raise UsageError(f"progress is {progress!r}; give a function that takes a Progress, 'off', or None")
    return progress


def _as_default_shots(shots: int | None) -> int | None:
    checked = as_shots(shots)
    if checked == "run":
        raise ShotsError("the run's own shots cannot be 'run'; give a number, or None for exact values")
    return checked


def _enter_store(stack: ExitStack, db: str | os.PathLike[str] | Store, *, clock: Clock) -> Store:
    """The store, which the stack closes if it was opened here."""
    if not isinstance(db, str | os.PathLike):
        return db
    return stack.enter_context(closing(open_store(db, clock=clock)))


def _begin_session(
    store: Store, record: RunRecord, *, is_resumed: bool, is_command: bool, clock: Clock
) -> SessionRecord:
    """The session of this process. A new run is written down with it once the backend is open."""
    session = SessionRecord(
        run_id=record.run_id,
        ordinal=len(store.sessions(record.run_id)),
        pid=os.getpid(),
        host=socket.gethostname(),
        started_at=clock.now(),
        is_command=is_command,
    )
    if is_resumed:
        # `qorch cancel` must find the process that works on the run, also while its backend opens. A request to stop
        # that an earlier process got is taken back.
        store.write([session, StopRequest(record.run_id, None)]).result()
    return session


def _as_budget(budget: str | Money | None) -> Money | None:
    if budget is None or isinstance(budget, Money):
        return budget
    if isinstance(budget, str) and budget == NO_BUDGET:
        return None
    return parse_money(budget if isinstance(budget, str) else repr(budget))


def _without_budget(record: RunRecord, device: Backend, budget: str | Money | None) -> RunRecord:
    """A run that goes on without the budget that it was started with, if that is asked for.

    Raises UsageError if it is not, and the backend charges.
    """
    if record.budget_micros is None:
        return record
    if budget == NO_BUDGET:
        return replace(record, budget_micros=None, currency=None)
    check_budget(device, Money(record.currency or "USD", record.budget_micros))
    return record


def _encode(settings: dict[str, Any] | None) -> str:
    try:
        return json.dumps(settings or {})
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"settings are kept as JSON, which these cannot be: {error}") from error


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise UsageError(f"the run's name is a {type(name).__name__}; give a text such as cats-vs-dogs")
    if name == LATEST:
        raise UsageError(f"a run cannot be named '{name}', which stands for the newest run; choose another name")
    # A run's id, by which it may be resumed, is its name with a time and four digits.
    if not _NAME.fullmatch(name) and not _NAME.fullmatch(_ID_SUFFIX.sub("", name)):
        raise UsageError(
            f"'{name}' is not a name for a run; use up to 64 letters, digits, '.', '_' and '-', such as cats-vs-dogs"
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
        environment=json.dumps(describe_environment()),
    )


def _continued(record: RunRecord, device: Backend, seed: int | None, *, settings: str) -> RunRecord:
    """The record of a run that goes on. Raises UsageError if it was cancelled, or would become another run."""
    if record.state == RunState.CANCELLED:
        raise UsageError(f"run {record.run_id} was cancelled, which is for good; start a new one, without resume")
    if record.state == RunState.DELETED:
        raise UsageError(f"run {record.run_id} was deleted; start a new one, without resume")
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
    )


def _with_charges(summary: str, device: Backend) -> str:
    """The summary, and whether the run's jobs cost money: reports are made without the backend."""
    return json.dumps(json.loads(summary) | {"charges": device.capabilities.charges})
