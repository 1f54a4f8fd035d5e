"""The composition root: names become backends, stores and runs here, and nowhere else."""

import json
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from qorch.audit.report import make_report
from qorch.backends import find_backend
from qorch.config import Config, read_config
from qorch.config_file import read_config_file
from qorch.engine.recorder import Recorder
from qorch.environment import begin_describing, describe_environment
from qorch.errors import UsageError
from qorch.limits import booked_card, check_budgets, check_price
from qorch.model.budget import NO_BUDGET, Budget
from qorch.model.kinds import as_whole
from qorch.model.money import Money
from qorch.model.prices.card import PriceCard
from qorch.model.timing import Phase
from qorch.observers.feed import Feed
from qorch.observers.observed_store import observe_store
from qorch.observers.opening import open_observers
from qorch.planning.budgets import Buyer, RunBudgets, applied_budgets
from qorch.ports.backend import Backend, RemoteBackend, SlowStarter, account_of
from qorch.ports.clock import Clock, WallClock
from qorch.ports.observer import Observer, RunStart
from qorch.ports.policy import RunPolicy, as_cache_policy
from qorch.ports.progress import Progress
from qorch.ports.records import RunRecord, RunState, SessionRecord, StopRequest
from qorch.ports.store import PaceSource, Store, SyncingStore
from qorch.prices import load_prices
from qorch.progress.display import choose_display, watch_queue
from qorch.run.arguments import as_budget, as_default_shots, check_kinds, check_name
from qorch.run.import_watch import ImportWatch
from qorch.run.portal import Portal, PortalClock
from qorch.run.resources import Resources
from qorch.run.run import Run
from qorch.run.used_settings import UsedSettings, as_changes
from qorch.stores import open_store

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
    accept_unknown_price: bool = False,
    workload: str | None = None,
    settings: dict[str, Any] | None = None,
    progress: Callable[[Progress], None] | Literal["off"] | None = None,
    observers: Iterable[Observer | str] = (),
    clock: Clock | None = None,
    is_command: bool = False,
    shared_budgets: Iterable[Budget] = (),
) -> Run:
    """Start a training run, or with ``resume`` continue the newest run of that name (or id) if there is one.

    ``backend``: a name such as ``"local"`` (see ``qorch backends``). ``budget``: the most that the run may cost, such
    as ``"25 USD"``: a call that may cost more than is left raises BudgetError, and nothing of it is sent. Another
    amount replaces that of a run that is resumed, ``"none"`` drops it; budgets of the configuration file apply, too.
    ``cache``: ``resume``, ``reuse``, ``top_up`` or ``off``. ``seed``: of every random number of the backend; drawn
    and recorded if it is None. ``shots``: of pubs that do not say, None for exact. ``db``: URL or path of the
    database. ``rebuy``: go on if paid positions have changed. ``allow_changes``: what may differ from what the run
    was started with: ``shots``, ``settings``, ``epochs``, ``batch_size``, ``batches``, ``gradient``, ``learning_rate``.
    ``accept_unknown_price``: start on a backend that charges, and of which no price is known (see `qorch prices`).
    ``progress``: a function that is called with a ``Progress`` after every step, in the thread of the training loop,
    and whose errors end the run; ``"off"`` shows nothing; None is qorch's own line on standard error or below the
    notebook's cell. ``observers``: are told of all that happens (see ``qorch.RunObserver``), and never end the run;
    names are those of installed ones: ``"log:FILE"``, ``"otel"``. ``is_command``: this process is the command
    ``qorch``, which says itself how to resume, and which ``qorch cancel`` may end. ``shared_budgets``: of several runs,
    as those of the configuration file, such as that of a sweep.

    Raises UsageError for an invalid argument, ConfigError for a wrong configuration file, UnknownPriceError, StoreError
    if the database cannot be used, RunBusyError if another process works on the run, RunChangedError if the run was
    started with other shots or settings: all before anything is executed.
    """
    switches = {"resume": resume, "rebuy": rebuy, "accept_unknown_price": accept_unknown_price}
    check_kinds(switches, db=db, clock=clock, workload=workload, settings=settings)
    begin_describing()
    config, clock = read_config(), clock or WallClock()
    recorder = Recorder(clock)
    start = _Start(
        name=name,
        seed=None if seed is None else as_whole(seed, "seed"),
        policy=RunPolicy(
            cache=as_cache_policy(cache),
            rebuy=rebuy,
            keep_free_bytes=config.keep_free_bytes,
        ),
        budget=as_budget(budget),
        drops_budget=isinstance(budget, str) and budget == NO_BUDGET,
        default_shots=as_default_shots(shots),
        workload=workload,
        settings=_encode(settings),
        allowed=as_changes(allow_changes),
        accepts_unknown_price=accept_unknown_price,
    )
    check_name(name)
    release = ExitStack()
    show = choose_display(progress, name, release)
    return _open_run(
        start,
        backend,
        db or config.db,
        resume=resume,
        is_command=is_command,
        config=config,
        clock=clock,
        recorder=recorder,
        show=show,
        observers=open_observers(observers, config=config),
        release=release,
        shared_budgets=tuple(shared_budgets),
    )


@dataclass(frozen=True, kw_only=True)
class _Start:
    """The checked arguments of ``start_run`` that decide what the run's record says.

    ``budget``: None leaves a run that is resumed the budget that it has, unless ``drops_budget``. ``settings``: JSON
    text. ``allowed``: the settings that may differ from those that the run was started with.
    ``accepts_unknown_price``: it may start without a known price.
    """

    name: str
    seed: int | None
    policy: RunPolicy
    budget: Money | None
    drops_budget: bool
    default_shots: int | None
    workload: str | None
    settings: str
    allowed: frozenset[str]
    accepts_unknown_price: bool


def _open_run(
    start: _Start,
    backend: str | Backend,
    db: str | os.PathLike[str] | Store,
    *,
    resume: bool,
    is_command: bool,
    config: Config,
    clock: Clock,
    recorder: Recorder,
    show: Callable[[Progress], None],
    observers: Sequence[Observer],
    release: ExitStack,
    shared_budgets: Sequence[Budget],
) -> Run:
    """Open backend and store, claim the run's record and begin its session; any error closes them again."""
    with ExitStack() as stack:
        feed = stack.enter_context(closing(Feed(observers, clock=clock)))
        _watch_imports(stack, recorder, clock)
        device, card = _find_device(backend, start, config=config, clock=clock, recorder=recorder)
        store = _enter_store(stack, db, clock=clock)
        if isinstance(store, SyncingStore):
            recorder.watch(partial(_take_syncs, store))
        record, is_resumed = _claim_record(stack, store, device=device, start=start, resume=resume, clock=clock)
        used = _compare_settings(store, record, start)
        budgets = _apply_budgets(record, device, card, config=config, shared=shared_budgets)
        portal = stack.enter_context(closing(_open_portal(record, clock)))
        session = _begin_session(store, record, is_resumed=is_resumed, is_command=is_command, clock=clock)
        feed.begin(RunStart(record, session, recorder.origin_at, is_resumed=is_resumed))
        run = Run(
            Resources(
                record=record,
                session=session,
                policy=start.policy,
                backend=device,
                store=observe_store(store, feed),
                clock=clock,
                recorder=recorder,
                portal=portal,
                default_shots=start.default_shots,
                is_resumed=is_resumed,
                used=used,
                report=partial(make_report, card=card),
                show_run=_show_run,
                show=feed.with_progress(show),
                release=release.close,
                meanwhile=watch_queue(show, recorder) if isinstance(device, RemoteBackend) else None,
                card=card,
                budgets=budgets,
                pace_source=store if isinstance(store, PaceSource) else None,
                note=feed.note,
            )
        )
        # From here on the run owns what was opened; before, any error closes it again.
        release.push(stack.pop_all())
    return run


def _find_device(
    backend: str | Backend, start: _Start, *, config: Config, clock: Clock, recorder: Recorder
) -> tuple[Backend, PriceCard]:
    """The backend and its prices; its slow starts are measured.

    It is refused if a budget cannot be kept there, or if its price is not known and that was not accepted.
    """
    book = load_prices(config)
    device = find_backend(backend, config=config, clock=clock)
    card = check_price(device, book, accepts_unknown=start.accepts_unknown_price)
    own = [] if start.budget is None else [Budget(limit=start.budget, run_id=start.name)]
    check_budgets(device, booked_card(device, card), own)
    if isinstance(device, SlowStarter):
        recorder.watch(device.take_slow_starts)
    return device, card


def _apply_budgets(
    record: RunRecord, device: Backend, card: PriceCard, *, config: Config, shared: Sequence[Budget]
) -> RunBudgets:
    """The run's own budget, and the shared ones that cover it, those of the file among them; none in a rehearsal.

    Raises UsageError if one cannot be kept.
    """
    written = read_config_file(config.file, must_exist=config.is_file_named).budgets
    scopes = () if config.is_rehearsal else (*shared, *written)
    buyer = Buyer(record.run_id, record.name, record.backend, account_of(device), record.workload)
    budgets = applied_budgets(record.budget, scopes, buyer)
    check_budgets(device, booked_card(device, card), budgets.budgets)
    return budgets


def _claim_record(
    stack: ExitStack, store: Store, *, device: Backend, start: _Start, resume: bool, clock: Clock
) -> tuple[RunRecord, bool]:
    """The run's record, claimed for this process until the stack closes, and whether an earlier run goes on."""
    found = store.find_run(start.name) if resume else None
    if found is None:
        record = _new_record(device, start, clock)
        stack.enter_context(store.claim_run(record.run_id))
        return record, False
    earlier = _continued(found, device, start)
    stack.enter_context(store.claim_run(earlier.run_id))
    # Before the claim, another process may have worked on the run, or have cancelled or deleted it.
    claimed = store.find_run(earlier.run_id) or replace(earlier, state=RunState.DELETED)
    record = _continued(claimed, device, start)
    if not start.allowed:
        _say_if_complete(claimed)
    return record, True


def _compare_settings(store: Store, record: RunRecord, start: _Start) -> UsedSettings:
    """The settings that are known before the first step, compared with those of the run's earlier sessions."""
    used = UsedSettings(record.run_id, store.sessions(record.run_id), allowed=start.allowed)
    used.see("shots", "exact" if start.default_shots is None else start.default_shots)
    used.see_settings(json.loads(start.settings))
    return used


def _say_if_complete(found: RunRecord) -> None:
    if found.state == RunState.DONE:
        _log.warning(
            "run %s is complete already: its loops are not run again. To train longer, give more epochs and"
            " allow_changes=['epochs']; for a new run, leave out resume",
            found.run_id,
        )


def _watch_imports(stack: ExitStack, recorder: Recorder, clock: Clock) -> None:
    """Measure imports until the end of the first step, when the spans are first drained."""
    watch = ImportWatch(clock)
    stack.callback(watch.stop)

    def take() -> list[tuple[Phase, int, int]]:
        watch.stop()
        return [(Phase.IMPORT, begun_ns, ended_ns) for begun_ns, ended_ns in watch.take_intervals()]

    recorder.watch(take)


def _take_syncs(store: SyncingStore) -> list[tuple[Phase, int, int]]:
    return [(Phase.SYNC, started_ns, ended_ns) for started_ns, ended_ns in store.take_syncs()]


def _enter_store(stack: ExitStack, db: str | os.PathLike[str] | Store, *, clock: Clock) -> Store:
    """The store, which the stack closes if it was opened here."""
    if not isinstance(db, str | os.PathLike):
        return db
    return stack.enter_context(closing(open_store(db, clock=clock)))


def _open_portal(record: RunRecord, clock: Clock) -> Portal:
    """The way into the clock's own event loop, if it has one."""
    return clock.open_portal(record) if isinstance(clock, PortalClock) else Portal()


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


def _with_budget(record: RunRecord, start: _Start) -> RunRecord:
    """The record of a run that goes on, with the budget that it is given now."""
    if start.budget is not None:
        return replace(record, budget_micros=start.budget.micros, currency=start.budget.currency)
    return replace(record, budget_micros=None, currency=None) if start.drops_budget else record


def _encode(settings: dict[str, Any] | None) -> str:
    try:
        return json.dumps(settings or {})
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"settings are kept as JSON, which these cannot be: {error}") from error


def _new_record(device: Backend, start: _Start, clock: Clock) -> RunRecord:
    now, budget = clock.now(), start.budget
    return RunRecord(
        run_id=f"{start.name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        name=start.name,
        backend=device.name,
        seed=secrets.randbelow(2**32) if start.seed is None else start.seed,
        cache=start.policy.cache.value,
        created_at=now,
        workload=start.workload,
        settings=start.settings,
        budget_micros=budget.micros if budget else None,
        currency=budget.currency if budget else None,
        summary=_with_charges("{}", device),
        charges=device.capabilities.charges,
        environment=json.dumps(describe_environment()),
    )


def _continued(found: RunRecord, device: Backend, start: _Start) -> RunRecord:
    """The record of a run that goes on. Raises UsageError if it was cancelled, or would become another run."""
    record = _with_budget(found, start)
    seed = start.seed
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
        settings=record.settings if start.settings == "{}" else start.settings,
        summary=_with_charges(record.summary, device),
        charges=device.capabilities.charges,
    )


def _with_charges(summary: str, device: Backend) -> str:
    """The summary, and whether the run's jobs cost money: reports are made without the backend."""
    return json.dumps(json.loads(summary) | {"charges": device.capabilities.charges})


def _show_run(store: Store, run_id: str) -> str | None:
    """Loaded only where somebody looks: no training needs it."""
    from qorch.audit.page.notebook import show_run

    return show_run(store, run_id)
