"""Reads the answer of ``GET /jobs/{id}/results``, verbatim, of either program and in any of its forms. Pure."""

from qorch.model.job import JobResult, JobShape, RawResult


def read_answer(shape: JobShape, raw: RawResult) -> JobResult:
    """The counts of a job's blocks. ``raw.content``: the body of the answer as it came.

    Raises InvalidResultError, and nothing else, if anything is wrong: then no row is used.
    """
    raise NotImplementedError
