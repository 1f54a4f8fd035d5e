"""The tables. What a person reads is INTEGER or TEXT, times are ISO-8601 in UTC, arrays are BLOBs per block.

Nothing here is peculiar to SQLite. A change needs a migration; see README.md.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# SQLite counts rows by itself only in a column that is declared INTEGER.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")

METADATA = MetaData(
    naming_convention={
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


def _serial(name: str) -> Column[int]:
    return Column(name, _SERIAL, primary_key=True, autoincrement=True)


def _run(*, primary_key: bool = False) -> Column[str]:
    return Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=primary_key, nullable=False)


def _job() -> Column[str]:
    return Column("job_id", Text, ForeignKey("jobs.job_id"), primary_key=True)


META = Table(
    "meta",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

ALEMBIC_VERSION = Table(
    "alembic_version",
    METADATA,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

RUNS = Table(
    "runs",
    METADATA,
    _serial("number"),
    Column("run_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("backend", Text, nullable=False),
    # A seed may have more than 64 bits.
    Column("seed", Text, nullable=False),
    Column("cache", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("workload", Text),
    Column("settings", Text, nullable=False),
    Column("budget_micros", BigInteger),
    Column("currency", Text),
    Column("state", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("charges", Integer),
    Column("environment", Text, nullable=False, server_default="{}"),
    Column("stop_asked_at", Text),
    UniqueConstraint("run_id"),
    Index("ix_runs_name", "name"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    _run(primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("wall_ns", BigInteger, nullable=False),
    Column("executions", BigInteger, nullable=False),
    Column("executions_from_cache", BigInteger, nullable=False),
    Column("is_command", Integer, nullable=False, server_default="0"),
    Column("used_settings", Text, nullable=False, server_default="{}"),
)

STEPS = Table(
    "steps",
    METADATA,
    _run(primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("session", Integer, nullable=False),
    Column("ended_at", Text, nullable=False),
    Column("executions", BigInteger, nullable=False),
    Column("executions_from_cache", BigInteger, nullable=False),
    Column("begun_at", Text),
    Column("epoch", Integer),
)

METRICS = Table(
    "metrics",
    METADATA,
    _run(primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    # NULL is NaN, which SQLite cannot store as a number.
    Column("value", Double),
    Column("logged_at", Text, nullable=False),
    Column("epoch", Integer),
    # Finds the newest value of every name without reading the history.
    Index("ix_metrics_name", "run_id", "name", "step", "ordinal"),
    # One tree instead of two: the key is most of the row.
    sqlite_with_rowid=False,
)

JOBS = Table(
    "jobs",
    METADATA,
    _serial("number"),
    Column("job_id", Text, nullable=False),
    _run(),
    Column("step", Integer, nullable=False),
    Column("call", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("n_executions", Integer, nullable=False),
    Column("shots", BigInteger),
    Column("changed_at", Text, nullable=False),
    Column("provider_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("queue_position", Integer),
    Column("queue_position_is_least", Integer),
    Column("queue_seen_at", Text),
    Column("usage_state", Text),
    # JSON: millionths by unit.
    Column("usage_micros", Text),
    UniqueConstraint("job_id"),
    Index("ix_jobs_run", "run_id", "step", "call"),
    Index("ix_jobs_state", "state"),
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    _job(),
    Column("ordinal", Integer, primary_key=True),
    Column("key", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error", Text),
    Column("payload_digest", Text),
    Column("search_text", Text),
    Index("ix_attempts_key", "key"),
)

JOB_PLANS = Table(
    "job_plans",
    METADATA,
    _job(),
    _run(),
    Column("content", LargeBinary, nullable=False),
)

RAW_RESULTS = Table(
    "raw_results",
    METADATA,
    _job(),
    _run(),
    Column("received_at", Text, nullable=False),
    Column("is_quarantined", Integer, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    # What the content is compressed with: zstd or, before revision 0009, zlib.
    Column("codec", Text, nullable=False, server_default="zlib"),
    Index("ix_raw_results_run", "run_id"),
)

PROVIDER_SESSIONS = Table(
    "provider_sessions",
    METADATA,
    _serial("number"),
    Column("key", Text, nullable=False),
    _run(),
    Column("account", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("max_ttl_seconds", Integer),
    Column("planned_at", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("provider_id", Text),
    Column("error", Text),
    UniqueConstraint("key"),
    Index("ix_provider_sessions_run", "run_id"),
    Index("ix_provider_sessions_state", "state"),
)

SHARED_STATES = Table(
    "shared_states",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False),
    Column("changed_at", Text, nullable=False),
)

ROW_CLAIMS = Table(
    "row_claims",
    METADATA,
    Column("claim", LargeBinary(32), primary_key=True),
    _run(),
    Column("claimed_at", Text, nullable=False),
    Index("ix_row_claims_run", "run_id"),
    # One tree instead of two: the key is the row.
    sqlite_with_rowid=False,
)

ROW_BLOCKS = Table(
    "row_blocks",
    METADATA,
    _serial("block_id"),
    Column("job_id", Text, ForeignKey("jobs.job_id"), nullable=False),
    _run(),
    Column("step", Integer, nullable=False),
    Column("call", Integer, nullable=False),
    Column("group_ordinal", Integer, nullable=False),
    Column("n_rows", Integer, nullable=False),
    Column("n_qubits", Integer, nullable=False),
    Column("shots", BigInteger),
    Column("shot_offset", BigInteger, nullable=False),
    Column("context", Text, nullable=False),
    Column("measurement_digest", Text, nullable=False),
    Column("gates_digest", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    # The result comes last: a look-up of keys then never reads its pages.
    Column("row_keys", LargeBinary, nullable=False),
    Column("places", LargeBinary, nullable=False),
    Column("result", LargeBinary, nullable=False),
    Index("ix_row_blocks_position", "run_id", "step", "call"),
    Index("ix_row_blocks_identity", "context", "measurement_digest", "gates_digest"),
    # The id of a pruned block must never come back: readers ask for what is newer than an id they know.
    sqlite_autoincrement=True,
)

# Sums over row_blocks by run, so that the size of the store is known without reading the blocks.
STORED_RESULTS = Table(
    "stored_results",
    METADATA,
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True, nullable=False),
    Column("blocks", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

SPANS = Table(
    "spans",
    METADATA,
    _serial("number"),
    _run(),
    Column("session", Integer, nullable=False),
    Column("phase", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger, nullable=False),
    Column("step", Integer, nullable=False),
    Column("call", Integer, nullable=False),
    Column("job_id", Text),
    Column("resolution_ns", BigInteger),
    Column("source", Text),
    Index("ix_spans_run", "run_id"),
)

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    _serial("number"),
    _run(),
    Column("step", Integer, nullable=False),
    Column("call", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("ix_checkpoints_run", "run_id"),
)

LEDGER = Table(
    "ledger",
    METADATA,
    # The writer gives the number: it counts from 1 without a gap.
    _serial("entry"),
    _run(),
    Column("job_id", Text, ForeignKey("jobs.job_id")),
    Column("kind", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("executions", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Index("ix_ledger_run", "run_id"),
    Index("ix_ledger_job", "job_id"),
)

# One row: how many entries there are, and the digest of the last.
LEDGER_ANCHOR = Table(
    "ledger_anchor",
    METADATA,
    Column("entries", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
)

# Sums over the ledger, so that a reservation reads no entries. By day, as it reads those since a day.
LEDGER_BALANCES = Table(
    "ledger_balances",
    METADATA,
    Column("day", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("runs.run_id"), primary_key=True),
    Column("account", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("reserved_micros", BigInteger, nullable=False),
    Column("spent_micros", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
