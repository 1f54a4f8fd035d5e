"""Files in the user's cache folder that are read only if they are whole, and written whole or not at all.

A file holds the SHA-256 of its content, a line break, and the content.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from qorch_providers.private_folders import is_private, is_writable


def kept_folder(name: str) -> Path | None:
    """The folder of this name in the user's cache folder, made if missing; None if it cannot be trusted or written."""
    folder = platformdirs.user_cache_path("qorch", appauthor=False) / name
    return folder if is_writable(folder) and is_private(folder) else None


def read_kept(file: Path) -> bytes | None:
    """The content of a file; None if there is no such file, or it is damaged."""
    try:
        digest, _, content = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if digest == hashlib.sha256(content).hexdigest().encode() else None


def write_kept(file: Path, content: bytes) -> None:
    """Write the file whole or not at all; what cannot be written is not kept."""
    with contextlib.suppress(OSError):
        number, name = tempfile.mkstemp(dir=file.parent)
        temporary = Path(name)
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time; the kernel lets go of the lock if the process dies."""
    try:
        number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
