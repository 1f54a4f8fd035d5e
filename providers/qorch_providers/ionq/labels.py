"""What qorch has IonQ keep with a job: its idempotency key, its name, and the label of its rows."""

from qorch.model.label import JobLabel

KEY_FIELD = "qorch_key"
"""Where in a job's metadata its idempotency key stands."""
JOB_FIELD, ROWS_FIELD, DIGEST_FIELD, CONTEXT_FIELD = "qorch_job", "qorch_rows", "qorch_digest", "qorch_context"
"""The fields of its label (``qorch.model.label``), by which a database restored from a backup recognises it."""
_NAMED_DIGITS = 16


def job_name(key: str) -> str:
    """The name of the job with this idempotency key, as lists show it."""
    return f"qorch {key[:_NAMED_DIGITS]}"


def label_fields(label: JobLabel | None) -> dict[str, str]:
    if label is None:
        return {}
    fields = {
        JOB_FIELD: label.job_id,
        ROWS_FIELD: label.rows,
        DIGEST_FIELD: label.digest,
        CONTEXT_FIELD: label.context,
    }
    return {name: text for name, text in fields.items() if text is not None}
