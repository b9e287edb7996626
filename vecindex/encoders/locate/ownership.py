"""Checks that nobody else can have written a file in the cache, since a compiled model is trusted as it is."""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

from ...machine.lacks import lack, said

log = logging.getLogger("vecindex")

_told: set[str] = set()


def distrust(path: Path, root: Path) -> str:
    """Why ``path``, which is in ``root``, is not trusted; empty if only this user or root can have written it.

    It and each folder up to ``root`` must belong to one of them, must not be a link, and must be writable only by its
    owner, or by a group with no other member. A missing file is trusted.
    """
    for each in (path, *path.parents):
        try:
            found = os.stat(each) if each == root else os.lstat(each)
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError as error:
            return f"{each} cannot be inspected: {error.strerror}"
        if found is not None and (reason := _distrusted(found)):
            return f"{each} {reason}"
        if each == root:
            return ""
    return f"{path} is not in {root}"


def distrust_any(folder: Path, root: Path) -> str:
    """As `distrust`, for a folder and everything in it; raises EncodingFailed if the system lacks resources."""
    if reason := distrust(folder, root):
        return reason
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if reason := _distrusted(entry.stat(follow_symlinks=False)):
                    return f"{entry.path} {reason}"
    except OSError as error:
        if not isinstance(error, PermissionError) and (reason := lack(error)):
            raise said(error, f"{folder} was inspected", reason) from error
        return f"{folder} cannot be inspected: {error.strerror}"
    return ""


def make_folder(folder: Path, root: Path) -> None:
    """Creates a folder in ``root``, and its parents, writable only by their owner.

    Raises OSError if that fails, or if others can write to an existing one.
    """
    missing = [each for each in (folder, *folder.parents) if not os.path.isdir(each)]
    for each in reversed(missing):
        each.mkdir(mode=0o755, exist_ok=True)
    if reason := distrust(folder, root):
        raise PermissionError(errno.EPERM, reason)


def seal(folder: Path) -> None:
    """Makes the files in a folder, which libraries have written, writable by their owner only."""
    for file in folder.iterdir():
        mode = stat.S_IMODE(file.lstat().st_mode)
        if mode & 0o022:
            file.chmod(mode & ~0o022)


def tell(reason: str) -> None:
    """Warns once why compiled models are not used."""
    if reason not in _told:
        _told.add(reason)
        log.warning("Compiled models are not used: %s. Set VECINDEX_CACHE to a folder of your own.", reason)


def _distrusted(found: os.stat_result) -> str:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return "is a link"
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return "is neither a file nor a folder"
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to the user {found.st_uid}"
    if mode & 0o002 or (mode & 0o020 and not _alone(found.st_gid)):
        return f"can be written by others (mode {mode:04o}; `chmod go-w` fixes it)"
    return ""


def _alone(group: int) -> bool:
    """Whether this user is the only member of a group; many systems give each user a group of the same name."""
    import grp
    import pwd

    try:
        name, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_gid == name.pw_gid and found.gr_name == name.pw_name and set(found.gr_mem) <= {name.pw_name}
