"""Which parts of a result lie in objects of their own in S3, and are not there yet."""

from collections.abc import Iterator, Mapping

from qorch_providers.braket.results.documents import RESULTS
from qorch_providers.braket.results.measurements import cut_shots
from qorch_providers.braket.results.shapes import (
    PROGRAM_SET,
    AnyResult,
    ProgramResultWire,
    SetResultWire,
    below,
    decode_part,
    folder_of,
)


def missing_parts(documents: Mapping[str, bytes]) -> tuple[str, ...]:
    """The paths, below the task's directory, of objects that the documents name and that are not among them.

    Objects name others: ask again with those that were fetched, until none is missing. Raises InvalidResultError for
    a document that cannot be read.
    """
    if RESULTS not in documents:
        return (RESULTS,)
    result = _read_set(documents)
    if result is None:
        return ()
    return tuple(dict.fromkeys(name for name in _named(result, documents) if name not in documents))


def location_of(documents: Mapping[str, bytes]) -> tuple[str, str] | None:
    """The bucket and the directory where a program set's parts are; None if it has none or does not say."""
    result = _read_set(documents)
    return None if result is None else result.s3_location


def _read_set(documents: Mapping[str, bytes]) -> SetResultWire | None:
    """The result, if it is that of a program set; without the shots, which are most of it."""
    body, _ = cut_shots(documents[RESULTS])
    if decode_part(body, AnyResult, name=RESULTS).braket_schema_header.name != PROGRAM_SET:
        return None
    return decode_part(body, SetResultWire, name=RESULTS)


def _named(result: SetResultWire, documents: Mapping[str, bytes]) -> Iterator[str]:
    """All paths that are known so far."""
    if isinstance(result.task_metadata, str):
        yield below("", result.task_metadata)
    for each in result.program_results:
        if isinstance(each, ProgramResultWire):
            yield from _named_by(each, "")
            continue
        path = below("", each)
        yield path
        if path in documents:
            program = decode_part(cut_shots(documents[path])[0], ProgramResultWire, name=path)
            yield from _named_by(program, folder_of(path))


def _named_by(program: ProgramResultWire, folder: str) -> Iterator[str]:
    if isinstance(program.source, str) and program.source:
        yield below(folder, program.source)
    for each in program.executable_results:
        if isinstance(each, str):
            yield below(folder, each)
