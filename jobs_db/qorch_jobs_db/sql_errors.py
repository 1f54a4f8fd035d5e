"""Turn what SQLite and the file system say into the errors of qorch."""

import errno
from enum import Enum

from sqlalchemy.exc import DBAPIError

from qorch.errors import StoreCorruptError, StoreError, StoreFullError, StoreUnavailableError


class StoreFault(Enum):
    """What went wrong; only after REFUSED and BUSY may other writes still succeed."""

    FULL = "full"
    BUSY = "busy"
    CORRUPT = "corrupt"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"


_BY_NAME = {
    "SQLITE_FULL": StoreFault.FULL,
    "SQLITE_BUSY": StoreFault.BUSY,
    "SQLITE_LOCKED": StoreFault.BUSY,
    "SQLITE_PROTOCOL": StoreFault.BUSY,
    "SQLITE_CORRUPT": StoreFault.CORRUPT,
    "SQLITE_NOTADB": StoreFault.CORRUPT,
    "SQLITE_IOERR": StoreFault.UNAVAILABLE,
    "SQLITE_READONLY": StoreFault.UNAVAILABLE,
    "SQLITE_CANTOPEN": StoreFault.UNAVAILABLE,
    "SQLITE_PERM": StoreFault.UNAVAILABLE,
    "SQLITE_NOMEM": StoreFault.UNAVAILABLE,
}


def fault_of(error: BaseException) -> StoreFault:
    """Which fault an error of the driver or the file system is."""
    if isinstance(error, OSError):
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return StoreFault.FULL if full else StoreFault.UNAVAILABLE
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    name = str(getattr(cause, "sqlite_errorname", ""))
    # Extended codes are the plain code with a suffix, such as SQLITE_IOERR_WRITE.
    return _BY_NAME.get("_".join(name.split("_")[:2]), StoreFault.REFUSED)


def store_error(error: BaseException, *, location: str) -> StoreError:
    """The StoreError for an error of the driver or the file system; the caller raises it ``from error``."""
    if isinstance(error, StoreError):
        return error
    fault = fault_of(error)
    if fault is StoreFault.FULL:
        return StoreFullError(
            f"the disk is full at {location}; nothing stored is lost; free space and resume with --resume"
        )
    if fault is StoreFault.BUSY:
        return StoreUnavailableError(
            f"{location} stayed locked by another process; end that process or wait for it, then try again"
        )
    if fault is StoreFault.CORRUPT:
        return StoreCorruptError(
            f"{location} is not a sound database ({_reason(error)}); restore a backup or use another --db"
        )
    if fault is StoreFault.UNAVAILABLE:
        return StoreUnavailableError(
            f"cannot open or write {location} ({_reason(error)}); check the path and its permissions,"
            " or choose another with --db"
        )
    return StoreError(f"{location} refused a request: {_reason(error)}")


def _reason(error: BaseException) -> str:
    if isinstance(error, DBAPIError) and error.orig is not None:
        return str(error.orig)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__
