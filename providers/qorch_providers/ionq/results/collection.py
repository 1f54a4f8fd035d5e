"""Collect all documents of a finished job: its own, its probabilities, and its children's if some failed."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import aclosing, suppress

import msgspec

from qorch.errors import BusyError, InvalidResultError, JobFailedError, JobMissingError
from qorch.model.job import RemoteState
from qorch_providers.http import ask_each
from qorch_providers.ionq.results.archive import encode_answer
from qorch_providers.ionq.results.distributions import has_empty_child, split_children
from qorch_providers.ionq.wire.client import AT_ONCE, PAGE_ROWS, IonqClient, NoListError
from qorch_providers.ionq.wire.documents import IonqJob, RepeatedChildError, decode_job


async def collect_answer(client: IonqClient, job_id: str, *, version: str) -> bytes:
    """The answer to a job, verbatim, as ``archive`` encodes it.

    Raises JobMissingError if there is no such job, JobFailedError if it has no result at all, BusyError if it has not
    finished or cannot be read now.
    """
    found = await client.job(job_id, purpose="fetch")
    if found is None:
        raise JobMissingError(f"IonQ has no job {job_id}; it was deleted there, or belongs to another key")
    document, job = found
    if not job.status.state.is_over:
        raise BusyError(f"job {job_id} is {job.status.state.value} at IonQ; it is fetched when it is over")
    if _names_a_child_twice(job):
        return encode_answer([document])  # reading the answer raises the error
    if job.status.state is RemoteState.DONE:
        return encode_answer([document, *await _results(client, job, version=version)])
    failed_children = job.child_ids if job.status.state is RemoteState.FAILED else ()
    pairs = await _pairs(client, job, failed_children, version=version)
    if not any(pairs[1::2]):
        told = job.status.error or "without a reason"
        raise JobFailedError(
            f"job {job_id} {job.status.state.value} at IonQ: {told}", is_repeatable=job.status.is_repeatable
        )
    return encode_answer([document, *pairs])


async def _results(client: IonqClient, job: IonqJob, *, version: str) -> list[bytes]:
    """Probabilities, b"" if only the children have them, and then documents of the children that are not in them."""
    probabilities = await client.results(_results_path(job, version=version))
    if probabilities is None:
        return [b"", *await _every_child(client, job, version=version)]
    missing = await asyncio.to_thread(_missing_children, job, probabilities) if job.child_ids else []
    return [probabilities, *await _pairs(client, job, missing, version=version)]


async def _every_child(client: IonqClient, job: IonqJob, *, version: str) -> list[bytes]:
    """All children of a job without an aggregated result, which newer servers do not offer."""
    pairs = await _pairs(client, job, job.child_ids, version=version)
    if not pairs or len(pairs) < 2 * len(job.child_ids):
        raise BusyError(f"job {job.job_id} is completed, but IonQ has no results of it yet")
    return pairs


def _names_a_child_twice(job: IonqJob) -> bool:
    try:
        job.child_ids  # noqa: B018 - raises if they are
    except RepeatedChildError:
        return True
    return False


def _results_path(job: IonqJob, *, version: str) -> str:
    if job.results_path is not None:
        return job.results_path
    own = f"/{version}/jobs/{job.job_id}/results"
    if version == "v0.3":
        return own
    return f"{own}/probabilities" + ("/aggregated" if job.child_ids else "")


def _missing_children(job: IonqJob, probabilities: bytes) -> list[str]:
    if probabilities.count(b"{") == len(job.child_ids) + 1 and not has_empty_child(probabilities):
        return []  # as many objects as circuits; reading checks that they are the right ones
    try:
        by_child = split_children(probabilities, most=len(job.child_ids))
    except InvalidResultError:
        return []  # reading it raises the error
    return [child for child in job.child_ids if child not in by_child]


async def _pairs(client: IonqClient, job: IonqJob, wanted: Sequence[str], *, version: str) -> list[bytes]:
    """Of each of these children, in their order: its document, and its probabilities, or b"" if it failed."""
    documents = await _child_documents(client, job, wanted, version=version)

    async def read(child_id: str) -> bytes:
        child = decode_job(documents[child_id], version=version)
        if child.status.state in (RemoteState.FAILED, RemoteState.CANCELLED):
            return b""
        probabilities = await client.results(_results_path(child, version=version))
        if probabilities is None:
            raise BusyError(f"circuit {child_id} of job {job.job_id} did not fail, but IonQ has no results of it yet")
        return probabilities

    ids = [child_id for child_id in wanted if child_id in documents]
    results = await ask_each(read, ids, at_once=AT_ONCE)
    return [part for child_id, result in zip(ids, results, strict=True) for part in (documents[child_id], result)]


async def _child_documents(
    client: IonqClient, job: IonqJob, wanted: Sequence[str], *, version: str
) -> dict[str, bytes]:
    """The children's documents by id; those that IonQ does not have are missing."""
    documents = {} if len(wanted) <= PAGE_ROWS else await _listed_children(client, job, set(wanted), version=version)
    rest = [child_id for child_id in wanted if child_id not in documents]
    for answer in await ask_each(lambda child_id: client.job(child_id, purpose="fetch"), rest, at_once=AT_ONCE):
        if answer is not None:
            documents[answer[1].job_id] = answer[0]
    return documents


async def _listed_children(
    client: IonqClient, job: IonqJob, wanted: Collection[str], *, version: str
) -> dict[str, bytes]:
    documents: dict[str, bytes] = {}
    # If the list cannot be read, each child can still be asked for.
    with suppress(NoListError, BusyError):
        async with aclosing(client.pages([("parent_job_id", job.job_id)], purpose="fetch")) as pages:
            async for page in pages:
                # A server that ignores the filter lists the whole account, and is not read to its end.
                if not {child.job_id for child in page.jobs} & set(job.child_ids):
                    break
                documents |= {name: text for name, text in _split(page.body, version=version) if name in wanted}
                if len(documents) == len(wanted):
                    break
    return documents


class _Listing(msgspec.Struct):
    jobs: list[msgspec.Raw]


def _split(body: bytes, *, version: str) -> list[tuple[str, bytes]]:
    """The documents of a list that was read before, verbatim, with their ids."""
    pairs = []
    for item in msgspec.json.decode(body, type=_Listing).jobs:
        document = bytes(item)
        try:
            pairs.append((decode_job(document, version=version).job_id, document))
        except InvalidResultError:
            continue  # another tool's job; the list itself leaves it out too
    return pairs
