"""Opens a provider's invoice: finds out what kind of file it is, and gives its lines, one file after the other."""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO, cast

from qorch.backends import backend_entry_points
from qorch.errors import InvoiceError, MissingPackageError, UnknownNameError
from qorch.model.invoices.files import InvoiceDocument, InvoiceTable, open_document, open_table
from qorch.model.invoices.line import InvoiceLine
from qorch.ports.invoice_format import InvoiceFormat

MODULE = "invoices"
"""In the package of a backend's entry point: its ``INVOICES``, an InvoiceFormat."""
MOST_BYTES_OF_PIECE = 4 << 20
MOST_BYTES_OF_DOCUMENT = 1 << 30
_GZIP, _ZIP, _PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"


@dataclass(frozen=True)
class FoundFormat:
    """A format, and the kind of backend whose jobs such invoices are about."""

    kind: str
    format: InvoiceFormat


def invoice_formats() -> list[FoundFormat]:
    """The formats of the installed backends whose packages can be imported."""
    return [found for kind, module in _format_modules().items() if (found := _load(kind, module)) is not None]


def read_invoice(paths: Sequence[Path], *, kind: str | None = None) -> tuple[str, Iterator[InvoiceLine]]:
    """The kind of backend that an invoice is about, and its lines: those of all files, which are parts of one.

    ``kind``: the name of the format; None: it is found by the columns. The files are read while the lines are used.
    Raises InvoiceError for a file that cannot be read, and UnknownNameError for a format that is not known.
    """
    formats = invoice_formats()
    if kind is not None:
        formats = _named(formats, kind)
    found = [_find_format(path, formats) for path in paths]
    kinds = {each.kind for each in found}
    if len(kinds) != 1:
        raise InvoiceError(f"the files are of several providers ({', '.join(sorted(kinds))}); reconcile one at a time")
    return found[0].kind, _read_all(paths, found)


def _format_modules() -> dict[str, str]:
    """The modules with a format, by kind of backend; nothing is imported, as adapters may need what is missing."""
    found = {}
    for kind, entry in backend_entry_points().items():
        outermost, *inner = entry.module.split(".")
        if files(outermost).joinpath(*inner, f"{MODULE}.py").is_file():
            found[kind] = f"{entry.module}.{MODULE}"
    return found


def _load(kind: str, module: str) -> FoundFormat | None:
    try:
        return FoundFormat(kind, import_module(module).INVOICES)
    except ImportError:
        return None


def _named(formats: Sequence[FoundFormat], kind: str) -> list[FoundFormat]:
    wanted = [each for each in formats if kind in (each.format.name, each.kind)]
    if not wanted:
        if kind in _format_modules():
            raise MissingPackageError(f"invoices of '{kind}' need its adapter: pip install 'qorch[{kind}]'")
        names = ", ".join(each.format.name for each in formats)
        raise UnknownNameError(f"there is no kind of invoice '{kind}'; choose one of: {names}")
    return wanted


def _find_format(path: Path, formats: Sequence[FoundFormat]) -> FoundFormat:
    with ExitStack() as stack:
        source = _open(path, stack)
        fitting = [each for each in formats if each.format.fits(source.names)]
    if len(formats) == 1:
        return formats[0]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " or ".join(each.format.name for each in fitting)
        raise InvoiceError(f"{path}, line 1: it may be of {names}; say which with --kind")
    titles = "; ".join(f"{each.format.name}: {each.format.title}" for each in formats)
    missing = sorted(set(_format_modules()) - {each.kind for each in formats})
    hint = f" (those of {', '.join(missing)} need its extra)" if missing else ""
    raise InvoiceError(f"{path}, line 1: its columns are of no invoice that is known here{hint}. There are {titles}")


def _read_all(paths: Sequence[Path], found: Sequence[FoundFormat]) -> Iterator[InvoiceLine]:
    for path, each in zip(paths, found, strict=True):
        with ExitStack() as stack:
            source = _open(path, stack)
            if isinstance(source, InvoiceTable):
                yield from each.format.read_table(source)
            else:
                yield from each.format.read_document(source)


def _open(path: Path, stack: ExitStack) -> InvoiceTable | InvoiceDocument:
    name = str(path)
    try:
        raw = stack.enter_context(path.open("rb"))
        begin = raw.read(4)
        raw.seek(0)
    except OSError as error:
        raise InvoiceError(f"{name} cannot be read: {error.strerror or error}") from error
    if begin == _ZIP:
        raise InvoiceError(f"{name} is a ZIP archive; unpack it, and name the file in it")
    if begin == _PARQUET:
        raise InvoiceError(f"{name} is a Parquet file; export the report as CSV")
    is_packed = begin.startswith(_GZIP)
    stream = io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=raw))) if is_packed else raw
    lines = _lines(stream, name)
    first = next(lines, b"")
    if first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return open_document(_join(first, lines, name), name=name)
    return open_table(_chain(first, lines), name=name)


def _lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines, in pieces if they are very long: a table has no such lines, and its reader refuses the pieces."""
    number = 0
    try:
        while raw := stream.readline(MOST_BYTES_OF_PIECE):
            number += 1
            yield raw
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvoiceError(
            f"{name}, after line {number}: it cannot be read further ({reason}); download the file again"
        ) from error


def _chain(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from others


def _join(first: bytes, others: Iterator[bytes], name: str) -> bytes:
    parts, size = [first.removeprefix(b"\xef\xbb\xbf")], len(first)
    for part in others:
        size += len(part)
        if size > MOST_BYTES_OF_DOCUMENT:
            raise InvoiceError(f"{name}: it has more than {MOST_BYTES_OF_DOCUMENT:,} bytes; split it")
        parts.append(part)
    return b"".join(parts)
