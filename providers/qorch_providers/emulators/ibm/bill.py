"""What jobs and sessions cost, line by line, as IBM documents it.

A job is charged for the begun seconds of the device, up to its failure or cancellation too, but not if the system
failed it. A job of a session is not: the session is, for all the time that it was active. A batch is charged job by
job. The open plan is free.
"""

from qorch_providers.emulators.ibm.jobs import IbmJob
from qorch_providers.emulators.ibm.money import whole_seconds
from qorch_providers.emulators.ibm.sessions import IbmSession
from qorch_providers.emulators.ibm.truth import job_key
from qorch_providers.emulators.kit.bills import BillLine


def job_line(job: IbmJob, *, now_seconds: float) -> BillLine:
    """The line of one accepted job; it is final once its usage is complete, by the protocol's clock."""
    due = job.usage_due_seconds
    return BillLine(
        id=job.id,
        target=job.order.backend,
        state=job.status,
        created_unix=job.accepted_unix,
        ended_unix=job.ended_unix,
        is_final=due is not None and now_seconds >= due,
        key=job_key(job),
        counted={"seconds": job.usage_seconds} if job.is_over and job.is_charged else {},
        micros=job.price_micros,
        details={"instance": job.order.instance.crn, "session_id": job.order.session_id},
    )


def session_line(session: IbmSession, *, used_seconds: float, second_micros: int) -> BillLine:
    """The line of one session with a device for itself; it grows while the session is active."""
    seconds = whole_seconds(used_seconds)
    return BillLine(
        id=session.id,
        target=session.backend,
        state=session.state,
        created_unix=session.created_unix,
        ended_unix=session.closed_unix,
        is_final=session.state == "closed",
        counted={"seconds": seconds},
        micros=seconds * second_micros,
        details={"instance": session.instance.crn},
    )
