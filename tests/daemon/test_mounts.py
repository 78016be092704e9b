"""File systems are known by the kernel's table of mounts, and what they can be trusted with."""

from pathlib import Path

import pytest

from stylewatch_daemon.mounts import is_remote, kind_of, table, tells_events

TABLE = r"""
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /net/nas rw - nfs4 server:/export rw
41 40 0:41 / /net/nas/local rw - ext4 /dev/vdb rw
42 27 0:42 / /net/with\040space rw - cifs //server/share rw
43 27 0:43 / /net/ssh rw - fuse.sshfs host: rw
45 27 0:45 / /net/layers rw - fuse.fuse-overlayfs fuse-overlayfs rw
44 27 0:44 / /net/usb rw - vfat /dev/sda1 rw
""".strip()


@pytest.mark.parametrize(
    ("folder", "tells"),
    [
        ("/srv/inbox", True),
        ("/net/nas/inbox", False),
        ("/net/nasty", True),
        ("/net/nas/local/inbox", True),
        ("/net/with space/inbox", False),
        ("/net/ssh", False),
        ("/net/usb/inbox", True),
    ],
)
def test_only_file_systems_of_this_machine_tell_all_events(folder: str, tells: bool) -> None:
    assert tells_events(Path(folder), TABLE) is tells


def test_without_a_table_of_mounts_events_are_trusted() -> None:
    assert tells_events(Path("/srv"), "")


@pytest.mark.parametrize(
    ("folder", "remote"),
    [
        ("/net/nas/state", True),
        ("/net/nas/local", False),
        ("/net/ssh", True),
        ("/net/layers", False),
    ],
)
def test_what_other_machines_may_write_is_remote(folder: str, remote: bool) -> None:
    assert is_remote(Path(folder), TABLE) is remote


def test_the_deepest_mount_counts(tmp_path: Path) -> None:
    assert kind_of(Path("/net/nas/local/inbox"), TABLE) == "ext4"
    assert kind_of(Path("/srv"), "") == ""
    assert bool(kind_of(tmp_path, table())) is bool(table())
