"""Tells a job of several circuits from its children, the jobs of single circuits, which carry the same key."""

from collections.abc import Sequence

from qorch.errors import InvalidResultError, UnknownOutcomeError
from qorch_providers.http import ask_each
from qorch_providers.ionq.wire.client import AT_ONCE, PAGE_ROWS, IonqClient
from qorch_providers.ionq.wire.documents import IonqJob


class JobsWithKey:
    """The listed jobs with one key, collected page by page.

    ``goes_on``: whether the job that was sent is not known yet, and the next page may have more jobs with the key.
    """

    def __init__(self, client: IonqClient, key: str) -> None:
        """Makes no request before ``see``."""
        self.goes_on = False
        self._client = client
        self._key = key
        self._members: dict[str, IonqJob] = {}
        self._sent: str | None = None
        self._is_probed = False

    async def see(self, jobs: Sequence[IonqJob], *, is_cut: bool) -> None:
        """Add the jobs of one page, which may be none; ``is_cut``: one of them is the page's last job."""
        self._members |= {job.job_id: job for job in jobs}
        self._sent = self._sent or next((job.job_id for job in jobs if _has_children(job)), None)
        if self._sent is None and not self._is_probed:
            self._sent = await self._ask_whose(next(iter(self._members.values())))
            self._is_probed = True
        if self._sent is None and len(self._members) == 1 and not is_cut:
            self._sent = next(iter(self._members))
        self.goes_on = self._sent is None and bool(jobs)

    async def find_sent(self) -> str:
        """The id of the job that was sent, after the last page. Raises UnknownOutcomeError if it cannot be told."""
        members = list(self._members.values())
        if self._sent is None and len(members) > 1:
            # The parent was made first, so it is at one end of the list.
            asked = [members[-1], *members[1:-1]][:PAGE_ROWS]
            owners = await ask_each(self._ask_whose, asked, at_once=AT_ONCE)
            self._sent = next(filter(None, owners), None)
            if self._sent is None:
                raise UnknownOutcomeError(
                    f"{len(members)} jobs at IonQ have the key {self._key[:16]}, and it is not known which of"
                    " them was sent and which are its circuits"
                )
        return self._sent or members[0].job_id

    async def _ask_whose(self, job: IonqJob) -> str | None:
        """The id of the parent job: of this one or of its parent; None if its own document does not tell."""
        if job.odd_status is not None:
            return None
        found = await self._client.job(job.job_id, purpose="find")
        if found is None:
            return None
        document = found[1]
        return document.job_id if _has_children(document) else document.parent_id


def _has_children(job: IonqJob) -> bool:
    try:
        return bool(job.child_ids)
    except InvalidResultError:
        return True  # fetching the job raises the error about its children
