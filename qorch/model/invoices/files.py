"""The files of an invoice: tables (CSV) that are read line by line, and JSON documents; errors name file and line."""

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from qorch.errors import InvoiceError
from qorch.model.invoices.line import InvoiceLine, shown

T = TypeVar("T")
MOST_COLUMNS = 10_000
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class InvoiceTable:
    """A CSV file. ``places``: of each column, by its plain name. ``rows``: line numbers and fields, once."""

    name: str
    places: Mapping[str, int]
    rows: Iterator[tuple[int, list[str]]] = field(repr=False)

    @property
    def names(self) -> Collection[str]:
        """The plain names of the columns."""
        return self.places.keys()

    def require(self, columns: Iterable[str], *, advice: str) -> None:
        """Raise InvoiceError for the first column that is missing; ``advice``: what to do about it."""
        for column in columns:
            if column not in self.places:
                raise InvoiceError(f"{self.name}, line 1: there is no column '{column}'; {advice}")

    def find(self, *columns: str) -> int | None:
        """The place of the first of these columns that the table has."""
        return next((self.places[column] for column in columns if column in self.places), None)

    def read(self, read_row: Callable[[Sequence[str]], InvoiceLine]) -> Iterator[InvoiceLine]:
        """The lines of the invoice, one a row. Raises InvoiceError with the line that is not as it must be."""
        for number, row in self.rows:
            try:
                line = read_row(row)
            except InvoiceError as error:
                raise InvoiceError(f"{self.name}, line {number}: {error}") from error
            yield line


@dataclass(frozen=True)
class InvoiceDocument:
    """A JSON file. ``names``: of the fields of the object, or of the first object of the list that it is."""

    name: str
    names: frozenset[str]
    content: bytes = field(repr=False)

    def decode(self, kind: type[T]) -> T:
        """The document as a msgspec type. Raises InvoiceError, naming the field, if it is not."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvoiceError(f"{self.name}: it is not as it must be: {shown(str(error))}") from error

    def read(self, what: str, items: Iterable[T], read_item: Callable[[T], InvoiceLine]) -> Iterator[InvoiceLine]:
        """The lines of the invoice, one an item. Raises InvoiceError with the number of the item, from 1."""
        for number, item in enumerate(items, start=1):
            try:
                line = read_item(item)
            except InvoiceError as error:
                raise InvoiceError(f"{self.name}, {what} {number}: {error}") from error
            yield line


def plain_name(column: str) -> str:
    """A column's name in lower case, with its words joined by ``_``: ``line_item_usage_type`` for lineItem/UsageType.

    Reports that differ only in how they write names, such as AWS's, so become one.
    """
    return _NO_WORD.sub("_", _WORD_START.sub("_", column).lower()).strip("_")


def open_table(raw_lines: Iterable[bytes], *, name: str) -> InvoiceTable:
    """The table in the lines of a CSV file. Raises InvoiceError if it has no header; its rows are read later."""
    reader = _numbered(_decode(raw_lines, name), name)
    _, header = next(reader, (0, []))
    if not header or len(header) > MOST_COLUMNS:
        raise InvoiceError(f"{name}: it is empty, or its first line names no columns; download it again")
    places: dict[str, int] = {}
    for place, column in enumerate(header):
        places.setdefault(plain_name(column), place)
    return InvoiceTable(name, places, _whole(reader, header, name))


def open_document(content: bytes, *, name: str) -> InvoiceDocument:
    """A JSON document. Raises InvoiceError, naming the line, if it cannot be parsed."""
    try:
        top = msgspec.json.decode(content, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
        first = top if isinstance(top, dict) else msgspec.json.decode(top[0] if top else b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = re.search(r"byte (\d+)", str(error))
        end = int(found[1]) if found else len(content)
        line = content[:end].count(b"\n") + 1
        raise InvoiceError(f"{name}, line {line}: {shown(str(error))}; download it again") from error
    return InvoiceDocument(name, frozenset(first) if isinstance(first, dict) else frozenset(), content)


def _decode(raw_lines: Iterable[bytes], name: str) -> Iterator[str]:
    encoding = "utf-8-sig"
    for number, raw in enumerate(raw_lines, start=1):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise InvoiceError(f"{name}, line {number}: it is not UTF-8; save the file as UTF-8") from error
        encoding = "utf-8"
        yield text


def _numbered(lines: Iterator[str], name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with the number of the line on which each ends."""
    reader = csv.reader(lines, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise InvoiceError(
            f"{name}, line {reader.line_num}: it is no CSV ({error}); download the file again"
        ) from error


def _whole(
    reader: Iterator[tuple[int, list[str]]], header: Sequence[str], name: str
) -> Iterator[tuple[int, list[str]]]:
    """The rows that have every field; the header may be repeated, as in files that were joined."""
    for number, row in reader:
        if len(row) != len(header):
            raise InvoiceError(
                f"{name}, line {number}: it has {len(row)} fields, and the first line names {len(header)} columns;"
                " the file may be cut off: download it again"
            )
        if row != header:
            yield number, row
