"""Folders for what is kept between processes: trusted only if nobody else can have written there."""

import os
import stat
import tempfile
from pathlib import Path


def is_writable(folder: Path) -> bool:
    """Whether a file can be made in this folder, which is made if it is missing; one of another user is not trusted."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def is_private(root: Path) -> bool:
    """Whether this folder, which is made if it is missing, is ours alone to change: anybody can make it in /tmp."""
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        status = root.lstat()
    except OSError:
        return False
    is_ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return stat.S_ISDIR(status.st_mode) and is_ours and not status.st_mode & 0o022
