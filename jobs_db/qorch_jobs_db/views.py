"""Views that make plain SQL useful; they hold no data, so every upgrade drops and makes them again.

The columns ``executions``, ``executions_from_cache`` and ``n_executions`` are there under their older names as well:
``rows_executed``, ``rows_from_cache`` and ``n_rows``.

Other databases write ``julianday``, ``strftime``, ``json_group_object`` and ``MAX`` of several values differently.
"""

from sqlalchemy import Connection, text

VIEWS = {
    "run_overview": """
        SELECT o.*, o.executions AS rows_executed, o.executions_from_cache AS rows_from_cache FROM (
        SELECT r.run_id, r.name, r.backend, r.workload, r.state, r.created_at,
            COALESCE(s.steps, 0) AS steps,
            COALESCE(j.jobs, 0) - COALESCE(j.unsent, 0) AS jobs,
            COALESCE(j.unsent, 0) AS jobs_unsent,
            COALESCE(j.done, 0) AS executions,
            MAX(
                COALESCE(e.first_from_cache, 0), COALESCE(e.asked, 0) - COALESCE(j.done, 0),
                CASE WHEN e.sessions > 1 THEN COALESCE(s.from_cache, 0) ELSE 0 END
            ) AS executions_from_cache,
            e.wall_seconds, COALESCE(e.sessions, 0) AS sessions, e.active_until
        FROM runs r LEFT JOIN (
            SELECT run_id, COUNT(*) AS steps, SUM(executions_from_cache) AS from_cache FROM steps GROUP BY run_id
        ) s ON s.run_id = r.run_id LEFT JOIN (
            SELECT run_id, COUNT(*) AS jobs,
                SUM(CASE WHEN provider_id IS NULL AND state IN ('planned', 'reserved', 'cancelled') THEN 1 ELSE 0 END)
                    AS unsent,
                SUM(CASE WHEN state = 'done' THEN n_executions ELSE 0 END) AS done
            FROM jobs GROUP BY run_id
        ) j ON j.run_id = r.run_id LEFT JOIN (
            SELECT run_id, COUNT(*) AS sessions, SUM(wall_ns) / 1e9 AS wall_seconds,
                MAX(executions + executions_from_cache) AS asked,
                MAX(CASE WHEN ordinal = 0 THEN executions_from_cache END) AS first_from_cache,
                MAX(strftime('%Y-%m-%dT%H:%M:%fZ', julianday(started_at) + wall_ns / 86400e9)) AS active_until
            FROM sessions GROUP BY run_id
        ) e ON e.run_id = r.run_id
        WHERE r.state <> 'deleted'
        ) o
    """,
    "step_overview": """
        SELECT s.run_id, r.name AS run_name, s.step, s.epoch, s.session, s.begun_at, s.ended_at,
            ROUND((julianday(s.ended_at) - julianday(s.begun_at)) * 86400, 4) AS seconds,
            s.executions, s.executions_from_cache,
            s.executions AS rows_executed, s.executions_from_cache AS rows_from_cache,
            (SELECT json_group_object(m.name, m.value) FROM metrics m
                WHERE m.run_id = s.run_id AND m.step = s.step) AS metrics
        FROM steps s JOIN runs r ON r.run_id = s.run_id
    """,
    "metric_overview": """
        SELECT m.run_id, r.name AS run_name, m.step, m.epoch, m.name, m.value, m.logged_at, s.begun_at, s.ended_at,
            ROUND((julianday(s.ended_at) - julianday(s.begun_at)) * 86400, 4) AS step_seconds
        FROM metrics m JOIN runs r ON r.run_id = m.run_id
        LEFT JOIN steps s ON s.run_id = m.run_id AND s.step = m.step
    """,
    "attempt_overview": """
        SELECT a.job_id, r.name AS run_name, j.run_id, j.step, j.call, a.ordinal, a.key, a.started_at, a.outcome,
            j.state AS job_state, j.provider_id, a.payload_digest, a.search_text,
            COALESCE(a.error, CASE WHEN a.ordinal = j.attempts THEN j.error END) AS error
        FROM attempts a JOIN jobs j ON j.job_id = a.job_id JOIN runs r ON r.run_id = j.run_id
    """,
    "job_overview": """
        SELECT j.job_id, r.name AS run_name, j.run_id, j.step, j.call, j.state,
            j.n_executions, j.n_executions AS n_rows, j.shots, j.provider_id, j.attempts, j.changed_at, j.error,
            j.queue_position, j.queue_position_is_least, j.queue_seen_at, j.usage_state, j.usage_micros,
            (SELECT SUM(s.ended_ns - s.started_ns) / 1e9 FROM spans s
                WHERE s.run_id = j.run_id AND s.job_id = j.job_id AND s.phase = 'execute') AS execute_seconds
        FROM jobs j JOIN runs r ON r.run_id = j.run_id
    """,
    "open_jobs": """
        SELECT j.job_id, r.name AS run_name, j.run_id, r.backend, j.step, j.call, j.state, j.provider_id,
            j.n_executions, j.n_executions AS n_rows, j.shots, j.attempts, a.search_text, a.key AS last_key,
            a.outcome AS last_outcome, a.started_at AS last_sent_at, j.changed_at,
            ROUND((julianday('now') - julianday(a.started_at)) * 86400, 3) AS sent_seconds_ago,
            ROUND((julianday('now') - julianday(j.changed_at)) * 86400, 3) AS changed_seconds_ago, j.error,
            j.queue_position, j.queue_position_is_least, j.queue_seen_at
        FROM jobs j JOIN runs r ON r.run_id = j.run_id
        LEFT JOIN attempts a ON a.job_id = j.job_id
            AND a.ordinal = (SELECT MAX(b.ordinal) FROM attempts b WHERE b.job_id = j.job_id)
        WHERE j.state IN ('intent', 'submitted', 'unknown')
    """,
    "open_provider_sessions": """
        SELECT p.provider_id, r.name AS run_name, p.run_id, r.backend, p.device, p.mode, p.state, p.max_ttl_seconds,
            p.planned_at, p.changed_at, p.error
        FROM provider_sessions p JOIN runs r ON r.run_id = p.run_id
        WHERE p.state IN ('opening', 'open', 'unknown')
    """,
    "phase_seconds": """
        SELECT run_id, session, phase, COUNT(*) AS spans, SUM(ended_ns - started_ns) / 1e9 AS seconds,
            SUM(resolution_ns) / 1e9 AS resolution_seconds
        FROM spans GROUP BY run_id, session, phase
    """,
    "block_overview": """
        SELECT block_id, job_id, run_id, step, call, group_ordinal, n_rows, n_qubits, shots, shot_offset,
            CASE HEX(SUBSTR(result, 34, 1))
                WHEN '00' THEN 'counts' WHEN '01' THEN 'exact values' WHEN '02' THEN 'estimates' END AS kind,
            n_bytes, created_at, context, measurement_digest, gates_digest
        FROM row_blocks
    """,
    "money_overview": """
        SELECT run_id, currency, kind, COUNT(*) AS entries, SUM(micros) AS micros
        FROM ledger GROUP BY run_id, currency, kind
    """,
    "balance_overview": """
        SELECT b.run_id, r.name AS run_name, r.backend, b.account, b.day, b.currency,
            b.reserved_micros, b.spent_micros
        FROM ledger_balances b JOIN runs r ON r.run_id = b.run_id
    """,
}


def create_views(connection: Connection) -> None:
    """Make every view."""
    for name, query in VIEWS.items():
        connection.execute(text(f"CREATE VIEW {name} AS {' '.join(query.split())}"))


def drop_views(connection: Connection, *, names: list[str]) -> None:
    """Drop the views of an older database."""
    for name in names:
        connection.execute(text(f'DROP VIEW "{name}"'))
