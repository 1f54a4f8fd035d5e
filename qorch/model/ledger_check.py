"""What breaks the chain of a ledger: entries that were altered, deleted, inserted or moved, each by its number."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from qorch.model.ledger import LedgerAnchor
from qorch.model.ledger_chain import LedgerRow, empty_head
from qorch.model.text import printable

_KEPT = 200
"""Rows that do not fit are kept until the end, where each is compared with the others: no more than this."""
_SHIFTS = tuple(sign * size for size in range(1, 9) for sign in (1, -1))
"""By how many numbers a whole rest of the ledger may have been renumbered, after so many were inserted or deleted."""


@dataclass(frozen=True)
class LedgerFinding:
    """What is wrong with the ledger, as a sentence; ``number``: of the entry that it names, ``job_id``: of its job."""

    text: str
    number: int | None = None
    job_id: str | None = None


@dataclass(frozen=True)
class _Place:
    """A row, and the number that it should have by the rows before it. ``is_sound``: its digest is of that number."""

    number: int
    row: LedgerRow
    is_sound: bool


@dataclass(eq=False)
class ChainCheck:
    """Checks the rows of a ledger in the order of their numbers, in constant memory.

    Give it all rows by ``add``, and the anchor to ``finish``. A row is sound if its digest is that of its fields, its
    number and the digest before it; a forger can make it so, but then the next row does not continue it.
    """

    store_id: str
    _last: _Place | None = None
    _waiting: LedgerRow | None = None
    _shift: int = 0
    _expected: int = 1
    _end: int = 0
    _misfits: list[_Place] = field(default_factory=list)
    _gaps: list[tuple[int, int]] = field(default_factory=list)
    _breaks: list[int] = field(default_factory=list)
    _findings: list[LedgerFinding] = field(default_factory=list)
    _n_left_out: int = 0
    _jobs: dict[int, LedgerRow] = field(default_factory=dict)

    def add(self, rows: Iterable[LedgerRow]) -> None:
        """Check the next rows."""
        for row in rows:
            if self._waiting is not None:
                self._check(self._waiting, row)
            self._waiting = row

    def finish(self, kept: LedgerAnchor | None) -> list[LedgerFinding]:
        """What was found, by number; ``kept``: the anchor of all rows that were added, None if it cannot be read."""
        if self._waiting is not None:
            self._check(self._waiting, None)
            self._waiting = None
        anchor = kept or LedgerAnchor(self._expected - 1, "")
        self._place_misfits(anchor)
        if kept is not None:
            self._compare_end(kept)
        self._findings += self._name_breaks()
        self._findings += self._name_gaps(anchor)
        self._findings += [self._name_misfit(place, anchor) for place in self._misfits]
        if self._n_left_out:
            self._note(f"{self._n_left_out:,} more entries do not fit; they are not listed", None)
        return sorted(self._findings, key=lambda found: found.number or 0)

    def _check(self, row: LedgerRow, following: LedgerRow | None) -> None:
        number = row.number - self._shift
        if row.number < 1:
            self._keep_misfit(_Place(row.number, row, is_sound=False))
            return
        has_gap = number > self._expected
        if has_gap:
            self._gaps.append((self._expected, number - 1))
        if row.digest_as(number) == row.digest:
            self._accept(row, number)
        elif not (self._exchange(row, number) or (not has_gap and self._renumber(row, number, following))):
            self._keep_misfit(_Place(number, row, is_sound=False))
            self._go_on(_Place(number, row, is_sound=False))

    def _accept(self, row: LedgerRow, number: int) -> None:
        last = self._last
        before = empty_head(self.store_id) if number == 1 else None
        if last is not None and last.is_sound and last.number == number - 1:
            before = last.row.digest
        if before is not None and row.previous != before and len(self._breaks) < _KEPT:
            self._breaks.append(number)
            self._jobs.update({place.number: place.row for place in (last, _Place(number, row, True)) if place})
        self._end = number
        self._go_on(_Place(number, row, is_sound=True))

    def _go_on(self, place: _Place) -> None:
        self._last = place
        self._expected = place.number + 1

    def _exchange(self, row: LedgerRow, number: int) -> bool:
        """Whether this row and an earlier one stand at each other's places."""
        for other in self._misfits:
            is_there = other.row.digest_as(number) == other.row.digest
            if is_there and row.digest_as(other.number) == row.digest:
                self._misfits.remove(other)
                text = f"entries {other.number} and {number}{_of(row, other.row)} were exchanged"
                self._note(text, row, other.number)
                self._end = max(self._end, number)
                self._go_on(_Place(number, row, is_sound=False))
                return True
        return False

    def _renumber(self, row: LedgerRow, number: int, following: LedgerRow | None) -> bool:
        """Whether from this row on all numbers are shifted, as after an insertion or a deletion."""
        for size in _SHIFTS:
            true = number - size
            if true < 1 or row.digest_as(true) != row.digest:
                continue
            if following is not None and following.digest_as(following.number - self._shift - size) != following.digest:
                return False
            self._shift += size
            if size > 0:
                self._forget(true, number - 1)
                self._note(f"{_some_entries(size)} inserted before entry {true}{_of(row)}", row, true)
            else:
                self._gaps.append((number, true - 1))
            self._end = true
            self._go_on(_Place(true, row, is_sound=True))
            return True
        return False

    def _forget(self, first: int, last: int) -> None:
        """Take back what was found at these numbers: what stood there was inserted."""
        self._misfits = [place for place in self._misfits if not first <= place.number <= last]
        self._breaks = [number for number in self._breaks if not first <= number <= last]

    def _keep_misfit(self, place: _Place) -> None:
        if len(self._misfits) < _KEPT:
            self._misfits.append(place)
        else:
            self._n_left_out += 1

    def _place_misfits(self, anchor: LedgerAnchor) -> None:
        """Find rows whose number was changed: they fit where one is missing."""
        for place in list(self._misfits):
            for number in self._missing(anchor):
                if place.row.digest_as(number) == place.row.digest:
                    self._misfits.remove(place)
                    self._fill(number)
                    self._note(
                        f"entry {number}{_of(place.row)} was altered: its number is {place.row.number}",
                        place.row,
                        number,
                    )
                    break
        self._end = max([self._end, *(place.number for place in self._misfits if place.number <= anchor.count)])

    def _missing(self, anchor: LedgerAnchor) -> list[int]:
        gaps = [*self._gaps, (self._expected, anchor.count)]
        # And the next after the anchor, which may have been made to fit.
        numbers = (number for first, last in gaps for number in range(first, min(last, anchor.count + 1) + 1))
        return [number for number, _ in zip(numbers, range(_KEPT), strict=False)]

    def _fill(self, number: int) -> None:
        """Note that the entry of this number was found."""
        self._end = max(self._end, number)
        gaps, self._gaps = self._gaps, []
        for first, last in gaps:
            parts = ((first, number - 1), (number + 1, last)) if first <= number <= last else ((first, last),)
            self._gaps += [part for part in parts if part[0] <= part[1]]

    def _compare_end(self, anchor: LedgerAnchor) -> None:
        last = self._last
        is_whole = last is not None and last.is_sound and last.number == self._end
        head = last.row.digest if last is not None and is_whole else None
        if last is None and not self._misfits:
            head = empty_head(self.store_id)
        if anchor.count != self._end and head is not None and head == anchor.head:
            self._note(
                f"the anchor was altered: it has {_entries(anchor.count)}, and the digest of entry {self._end}",
                None, self._end or None,
            )  # fmt: skip
        elif anchor.count > self._end:
            missing = anchor.count - self._end
            what = "entry is" if missing == 1 else f"{missing:,} entries are"
            self._note(f"the last {what} missing: the anchor has {anchor.count:,}", None, self._end + 1)
        elif anchor.count < self._end:
            self._note(
                f"{_some_entries(self._end - anchor.count)} inserted after entry {anchor.count}, the anchor's last",
                None, anchor.count + 1,
            )  # fmt: skip
        elif head is not None and head != anchor.head:
            self._breaks.append(anchor.count + 1)
            if last is not None:
                self._jobs[last.number] = last.row

    def _name_breaks(self) -> Iterator[LedgerFinding]:
        """A sound entry that the next does not continue was made anew; if it does not continue the one before, too."""
        numbers = sorted(self._breaks)
        while numbers:
            first = numbers.pop(0)
            altered = first - 1
            if numbers and numbers[0] == first + 1:
                altered = numbers.pop(0) - 1
            row = self._jobs.get(altered)
            if altered == 0:
                text = "entry 1 does not begin the chain of this database: entries are missing, or another's"
            elif altered == self._end:
                text = f"entry {altered}{_of(row)} or the anchor was altered: the anchor has another digest"
            else:
                text = f"entry {altered}{_of(row)} was altered, with its digest: the next entry continues another"
            yield _finding(text, row, altered or 1)

    def _name_gaps(self, anchor: LedgerAnchor) -> Iterator[LedgerFinding]:
        for first, last in self._gaps:
            last = min(last, anchor.count, self._end)
            if first == last:
                yield _finding(f"entry {first} is missing", None, first)
            elif first < last:
                yield _finding(f"entries {first} to {last} are missing", None, first)

    def _name_misfit(self, place: _Place, anchor: LedgerAnchor) -> LedgerFinding:
        row = place.row
        if place.number < 1:
            return _finding(f"an entry{_of(row)} was inserted before entry 1, with the number {row.number}", row, 1)
        if place.number > anchor.count:
            text = f"an entry{_of(row)} was inserted after entry {anchor.count}, the anchor's last"
            return _finding(text, row, place.number)
        for other in self._misfits:
            if other is not place and row.digest_as(other.number) == row.digest:
                return _finding(
                    f"entry {other.number}{_of(row)} stands in the place of entry {place.number}", row, place.number
                )
        return _finding(f"entry {place.number}{_of(row)} was altered", row, place.number)

    def _note(self, text: str, row: LedgerRow | None, number: int | None = None) -> None:
        self._findings.append(_finding(text, row, number))


def _finding(text: str, row: LedgerRow | None, number: int | None) -> LedgerFinding:
    return LedgerFinding(text, number, None if row is None else _job(row) or None)


def _job(row: LedgerRow) -> str:
    return "" if row.job_id is None else printable(str(row.job_id))


def _of(*rows: LedgerRow | None) -> str:
    names = dict.fromkeys(name for row in rows if row is not None and (name := _job(row)))
    return f" (job{'s' if len(names) > 1 else ''} {' and '.join(names)})" if names else ""


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"


def _some_entries(count: int) -> str:
    return "an entry was" if count == 1 else f"{count:,} entries were"
