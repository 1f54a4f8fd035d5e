"""Every error that qorch raises. The class says what the caller can do next.

::

    QorchError
    ├── UsageError              the call was wrong; change it (exit code 2). Nothing was sent or written.
    │   ├── CircuitError        a circuit that cannot be compiled, or is too large for the backend
    │   ├── ObservableError     an observable that does not fit its circuit
    │   ├── ParameterError      parameter values of the wrong shape, or not finite
    │   ├── ShotsError          a number of shots that no backend can run
    │   ├── MoneyError          an amount of money that is not one
    │   ├── UnknownNameError    no such backend, workload, run or gradient
    │   ├── ConfigError         the configuration file, or a price card, is wrong; file and line are named
    │   ├── InvoiceError        a provider's invoice cannot be read; file and line are named
    │   ├── UnknownPriceError   what it costs is not known; say that you accept that
    │   └── MissingPackageError an extra is not installed; the message has the pip line
    ├── BackendError            the backend could not do it
    │   ├── RejectedError       the backend refused the job; it was not accepted and costs nothing
    │   │   ├── BusyError       not now: it is tried again, after `retry_after_seconds` if the server names a time
    │   │   │   ├── UnavailableError the backend takes no jobs for a while: the queue pauses until it does
    │   │   │   └── UnreachableError no server answered: check the address if none ever did
    │   │   ├── SessionEndedError   the provider's session takes no jobs any more: the job goes into another one
    │   │   ├── SpendingLimitError  a limit at the provider is reached, or cannot be set (a BudgetError, too)
    │   │   └── CredentialsError    the key was refused: nothing more is sent until it is mended
    │   ├── UnknownOutcomeError the job may have been accepted; it is held, never resent blindly
    │   ├── JobMissingError     the provider does not know a job that it accepted; it is asked again, then held
    │   ├── JobFailedError      the provider accepted the job and failed; `is_repeatable` says whether to try again
    │   ├── WorkerLostError     a local worker process died; the job is free to run again
    │   └── InvalidResultError  the answer failed verification; the raw answer is kept
    │       └── HeldResultError     and is paid for: the job is held (an UnknownOutcomeError, too)
    ├── StoreError              the database could not do it
    │   ├── StoreUnavailableError   the path cannot be opened or written
    │   ├── StoreCorruptError   the file is not a sound database
    │   ├── StoreTooNewError    a newer qorch wrote it; upgrade qorch
    │   └── StoreFullError      the disk is full; what was stored is safe, free space and resume
    ├── RunError                the run cannot go on as asked
    │   ├── RunBusyError        another process works on this run, or it is open in this one already
    │   ├── RunChangedError     it is not what was started; `allow_changes` or `rebuy` goes on
    │   └── RunStoppedError     the run was stopped, and can be resumed, or cancelled, which is for good
    └── BudgetError             money would exceed the cap (exit code 3)
"""


class QorchError(Exception):
    """The root: catch this to catch everything that qorch raises on purpose."""


class UsageError(QorchError, ValueError):
    """The call was wrong; nothing was sent or written."""


class CircuitError(UsageError):
    """The circuit cannot be compiled, or does not fit the backend."""


class ObservableError(UsageError):
    """The observable does not fit its circuit."""


class ParameterError(UsageError):
    """Parameter values of the wrong shape, unbound, or not finite."""


class ShotsError(UsageError):
    """A number of shots that cannot be run."""


class MoneyError(UsageError):
    """Not an amount of money."""


class UnknownNameError(UsageError):
    """No backend, kind of store, workload, run or gradient has that name."""


class ConfigError(UsageError):
    """The configuration file, or a price card, is not as it must be; the message names the file and the line."""


class InvoiceError(UsageError):
    """A provider's invoice is not as it must be; the message names the file and the line."""


class UnknownPriceError(UsageError):
    """The backend charges, its price is not known, and nobody said that this is accepted."""


class MissingPackageError(UsageError):
    """A backend's extra is not installed."""


class BackendError(QorchError):
    """The backend could not do what was asked."""


class RejectedError(BackendError):
    """The backend refused the job: it was not accepted, and costs nothing."""


class BusyError(RejectedError):
    """The backend could not be reached or took nothing now: nothing was accepted, and it is tried again."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        """``retry_after_seconds``: how long the server asked to be left alone, None if it did not say."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(BusyError):
    """The backend takes no jobs for a while: calibration, maintenance, or out of its hours."""


class UnreachableError(BusyError):
    """No server answered: no connection could be made, or it broke before the answer to a question."""


class SessionEndedError(RejectedError):
    """The session at the provider, into which the job was sent, takes no jobs any more."""


class BudgetError(QorchError):
    """The money asked for exceeds the cap."""


class SpendingLimitError(RejectedError, BudgetError):
    """A limit on spending at the provider is reached, or cannot be set: the job was not accepted, and costs nothing."""


class CredentialsError(RejectedError):
    """The key is missing, wrong or expired."""


class UnknownOutcomeError(BackendError):
    """The job may have been accepted, and may be billed."""


class JobMissingError(BackendError):
    """The provider does not know a job that it had accepted; its lists may lag behind."""


class JobFailedError(BackendError):
    """The provider accepted a job and says that it failed or was cancelled there."""

    def __init__(self, message: str, *, is_repeatable: bool = False) -> None:
        """``is_repeatable``: another try may not meet this failure, and the failed one is not charged."""
        super().__init__(message)
        self.is_repeatable = is_repeatable


class WorkerLostError(BackendError):
    """A local worker process died; its job may run again."""


class InvalidResultError(BackendError):
    """The backend's answer failed verification."""


class HeldResultError(InvalidResultError, UnknownOutcomeError):
    """An answer that is paid for failed verification; the job is held, and its answer fetched again later."""


class StoreError(QorchError):
    """The database could not do what was asked."""


class StoreUnavailableError(StoreError):
    """The database cannot be opened or written where it is."""


class StoreCorruptError(StoreError):
    """The file is not a sound qorch database."""


class StoreTooNewError(StoreError):
    """A newer qorch wrote this database."""


class StoreFullError(StoreError):
    """The disk is full; what was stored before is safe."""


class RunError(QorchError):
    """The run cannot go on as asked."""


class RunBusyError(RunError):
    """Another process works on this run, or it is open in this process already."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        """``pid``: of the process that has the run, None if it is not known."""
        super().__init__(message)
        self.pid = pid

    @classmethod
    def in_this_process(cls, run_id: str, *, pid: int) -> "RunBusyError":
        """The run was opened twice in one process, whose id is ``pid``."""
        return cls(
            f"run '{run_id}' is open in this process (pid {pid}) already; go on with that one, or close it with"
            " run.close() before it is opened again",
            pid=pid,
        )


class RunChangedError(RunError):
    """The program differs from what the run was started with: other settings, or other angles at a stored position."""


class RunStoppedError(RunError):
    """The run was stopped or cancelled before this call finished."""
