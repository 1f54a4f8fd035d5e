"""Which file system a folder lies on, as Linux and macOS tell it."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3"),
        *("smbfs", "webdav", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs"),
    )
)
_MACOS_MOUNT = re.compile(r".+ on (?P<folder>/.*) \((?P<kind>[^,)]+)")


def file_system_of(folder: Path) -> str | None:
    """The kind of the file system that holds a folder, such as ``ext4``; None if it cannot be told."""
    return innermost(folder.resolve(), _mounts())


def innermost(folder: Path, mounts: Iterable[tuple[Path, str]]) -> str | None:
    """The kind of the mount nearest above a folder; of two at one place the later hides the earlier."""
    above = [(len(place.parts), kind) for place, kind in mounts if folder.is_relative_to(place)]
    nearest = max((depth for depth, _ in above), default=0)
    return next((kind for depth, kind in reversed(above) if depth == nearest), None)


def _mounts() -> list[tuple[Path, str]]:
    table = Path("/proc/self/mounts")
    if table.exists():
        return read_linux_mounts(table.read_text())
    try:
        listing = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return read_macos_mounts(listing.stdout)


def read_linux_mounts(text: str) -> list[tuple[Path, str]]:
    """The places and kinds in ``/proc/self/mounts``, which writes a space as ``\\040``."""
    fields = [line.split() for line in text.splitlines()]
    return [
        (Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), place)), kind) for _, place, kind, *_ in fields
    ]


def read_macos_mounts(text: str) -> list[tuple[Path, str]]:
    """The places and kinds that ``mount`` prints on macOS."""
    found = [_MACOS_MOUNT.match(line) for line in text.splitlines()]
    return [(Path(match["folder"]), match["kind"]) for match in found if match]
