"""Could anybody else have written what lies in the cache: then it is not used, since a compiled model is believed."""

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
    """Why ``path``, which is in ``root``, is not used; empty where nobody but this user or root can have written it.

    It and each folder up to ``root`` belongs to one of them, is no link, and may be written by its owner alone, or by a
    group in which there is nobody else. What is not there is no reason.
    """
    for each in (path, *path.parents):
        try:
            found = os.stat(each) if each == root else os.lstat(each)
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError as error:
            return f"{each} cannot be looked at: {error.strerror}"
        if found is not None and (reason := _distrusted(found)):
            return f"{each} {reason}"
        if each == root:
            return ""
    return f"{path} is not in {root}"


def distrust_any(folder: Path, root: Path) -> str:
    """As `distrust`, of a folder and of all that is in it; raises EncodingFailed where the system refuses to tell."""
    if reason := distrust(folder, root):
        return reason
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if reason := _distrusted(entry.stat(follow_symlinks=False)):
                    return f"{entry.path} {reason}"
    except OSError as error:
        if not isinstance(error, PermissionError) and (reason := lack(error)):
            raise said(error, f"{folder} was looked at", reason) from error
        return f"{folder} cannot be looked at: {error.strerror}"
    return ""


def make_folder(folder: Path, root: Path) -> None:
    """Makes a folder in ``root``, and those above it, which only their owner may write.

    Raises OSError where that cannot be done, or where others could write into it already.
    """
    missing = [each for each in (folder, *folder.parents) if not os.path.isdir(each)]
    for each in reversed(missing):
        each.mkdir(mode=0o755, exist_ok=True)
    if reason := distrust(folder, root):
        raise PermissionError(errno.EPERM, reason)


def seal(folder: Path) -> None:
    """Takes from all but the owner the right to write what is in a folder, which libraries have made."""
    for file in folder.iterdir():
        mode = stat.S_IMODE(file.lstat().st_mode)
        if mode & 0o022:
            file.chmod(mode & ~0o022)


def tell(reason: str) -> None:
    """Says once why compiled models are not used."""
    if reason not in _told:
        _told.add(reason)
        log.warning("Compiled models are not used from there: %s. VECINDEX_CACHE names a folder of your own.", reason)


def _distrusted(found: os.stat_result) -> str:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return "is a link"
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return "is neither a file nor a folder"
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to the user {found.st_uid}"
    if mode & 0o002 or (mode & 0o020 and not _alone(found.st_gid)):
        return f"may be written by others (mode {mode:04o}; `chmod go-w` takes that away)"
    return ""


def _alone(group: int) -> bool:
    """Whether nobody but this user is in a group: many systems give each user one of his own, of his name."""
    import grp
    import pwd

    try:
        name, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_gid == name.pw_gid and found.gr_name == name.pw_name and set(found.gr_mem) <= {name.pw_name}
