"""Checks cache folders: a file in one is trusted only if no other user can have written it."""

import os
import stat
import tempfile
from pathlib import Path


def is_writable(folder: Path) -> bool:
    """Whether a file can be made in this folder, made if missing; False for the folder of another user."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def is_private(root: Path) -> bool:
    """Whether only this user can change the folder, made if missing: in /tmp any user could have made it first."""
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        status = root.lstat()
    except OSError:
        return False
    is_ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return stat.S_ISDIR(status.st_mode) and is_ours and not status.st_mode & 0o022
