"""Mode and group of published files and folders."""

import grp
import os
import stat
from contextlib import suppress
from dataclasses import dataclass

from stylewatch_daemon.base.errors import SettingsError


@dataclass(frozen=True)
class Sharing:
    """`mode` of files and number of the `group`; None leaves them as they are.

    Whoever may read a folder may also enter it. With a group it is setgid, where that is allowed,
    so that new files inherit the group.
    """

    mode: int | None = None
    group: int | None = None

    def file(self, folder: int, name: str) -> None:
        """Set the permissions of the file `name` in an opened folder; raises OSError."""
        if self == OPEN:
            return
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(name, flags, dir_fd=folder)
        try:
            self._own(handle)
            if self.mode is not None:
                os.fchmod(handle, self.mode)
        finally:
            os.close(handle)

    def folder(self, handle: int) -> None:
        """Set the permissions of an opened folder, if this user owns it; raises OSError."""
        status = os.fstat(handle)
        if self == OPEN or status.st_uid != os.geteuid():
            return
        self._own(handle)
        now = stat.S_IMODE(status.st_mode)
        wanted = now if self.mode is None else self.mode | (self.mode & 0o444) >> 2
        handed_on = stat.S_ISGID if self.group is not None else now & stat.S_ISGID
        if now == wanted | handed_on:
            return
        try:
            os.fchmod(handle, wanted | handed_on)
        except PermissionError:  # a sandbox may forbid setgid; every folder gets the group anyway
            os.fchmod(handle, wanted & ~stat.S_ISGID)

    def _own(self, handle: int) -> None:
        if self.group is not None and os.fstat(handle).st_gid != self.group:
            os.fchown(handle, -1, self.group)


OPEN = Sharing()
"""Permissions by the umask and the parent folder."""

PRIVATE = Sharing(mode=0o600)
"""Permissions of incomplete files."""


def sharing(mode: str | None, group: str | int | None) -> Sharing:
    """Return the settings `outbox.mode` (octal digits) and `outbox.group` (a name or a number).

    Raises SettingsError if there is no such group, or this user is not in it.
    """
    bits = None if mode is None else int(mode, 8)
    if group is None:
        return Sharing(bits)
    number = group if isinstance(group, int) else None
    with suppress(KeyError):
        number = grp.getgrnam(str(group)).gr_gid
    if number is None:
        raise SettingsError(
            f"outbox.group is {group!r}, and this machine has no such group: name one that "
            "`getent group` lists"
        )
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        raise SettingsError(
            f"outbox.group is {group!r}, and this user is not in that group: add it to the group, "
            "and start stylewatch anew"
        )
    return Sharing(bits, number)
