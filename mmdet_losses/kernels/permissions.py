"""Who can write what is kept on disk to be run: compiled kernels, and the wheels of ``tools/run``.

Standard library only, since ``tools/run`` reads this file before anything is installed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

LINKS = 40
"""Links that a path may lead through, as on Linux."""


def others_can_write(path: Path) -> str:
    """Why others than this user and root could write a file or folder, or put another in its place.

    Looks at all that leads to it, from the home directory or else from the root down, links and what they name
    included. What was found of a folder stays true while one looks further, since only this user and root could change
    it. Above the home directory nothing is looked at: whoever owns that owns the user's programs too.

    Returns:
        A clause that names the first such file or folder; empty where there is none, where the path does not exist,
        and on systems without users.
    """
    if not hasattr(os, "geteuid"):
        return ""
    above = above_home()
    for entry, found in entries(path):
        if entry in above:
            continue
        if found.st_uid not in (0, os.geteuid()):
            return f"{entry} belongs to user {found.st_uid}"
        if not stat.S_ISLNK(found.st_mode) and is_shared(entry, found):
            return f"others can write {entry} ({stat.filemode(found.st_mode)})"
    return ""


def above_home() -> set[Path]:
    """The folders that lead to the home directory; none where there is no such directory."""
    try:
        home = Path.home()
    except RuntimeError:
        return set()
    return {*home.parents, *Path(os.path.realpath(home)).parents}


def entries(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What leads to a path, the links on the way included, from the root down to what exists of it."""
    whole = Path.cwd() / path
    place, left, links = Path(whole.anchor), [*reversed(whole.parts[1:])], 0
    yield place, os.lstat(place)
    while left:
        name = left.pop()
        if name == "..":
            place = place.parent
            continue
        entry = place / name
        try:
            found = os.lstat(entry)
        except FileNotFoundError:
            return
        yield entry, found
        if not stat.S_ISLNK(found.st_mode):
            place = entry
            continue
        links += 1
        if links > LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = Path(os.readlink(entry))
        if target.is_absolute():
            place = Path(target.anchor)
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def is_shared(entry: Path, found: os.stat_result) -> bool:
    """Whether others than the owner and root can change what an entry holds.

    A folder with the sticky bit, like ``/tmp``, is not shared in this sense: what lies in it is its owner's.
    """
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
        return False
    if found.st_mode & stat.S_IWGRP and not is_private(entry, found.st_gid):
        return True
    return bool(found.st_mode & stat.S_IWOTH)


def is_private(entry: Path, group: int) -> bool:
    """Whether a group is the user's own, which has the user's name and no other member, and no access list widens it.

    Where each user has such a group, the usual umask lets it write everything.
    """
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    own = 0 not in (group, user.pw_uid) and group == user.pw_gid and found.gr_name == user.pw_name
    return own and set(found.gr_mem) <= {user.pw_name} and not has_access_list(entry)


def has_access_list(entry: Path) -> bool:
    """Whether the group bits of an entry are the mask of an access list."""
    try:
        return "system.posix_acl_access" in os.listxattr(entry)
    except (OSError, AttributeError):
        return False


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, which others cannot write whatever the umask is."""
    for one in (*reversed(folder.parents), folder):
        if not one.is_dir():
            one.mkdir(mode=0o755, exist_ok=True)


def keep_from_others(file: Path) -> None:
    """Take the permission to write a file from others."""
    file.chmod(stat.S_IMODE(file.stat().st_mode) & ~0o022)
