"""Pictures are kept on a machine by their digests, whole or not at all, and not without end."""

import hashlib
import os
from pathlib import Path

import pytest

from stylewatch_daemon.executors.ray.input_cache import Larder, Parcel


def parcel(content: bytes, name: str = "content.jpg") -> Parcel:
    digest = hashlib.sha256(content).hexdigest()
    return Parcel(digest, name, digest)


def keep(larder: Larder, content: bytes) -> Parcel:
    one = parcel(content)
    larder.take(one, content, last=True)
    return one


def test_what_came_in_pieces_is_there_once_it_is_whole(tmp_path: Path) -> None:
    larder, one = Larder(tmp_path), parcel(b"red and green")
    assert larder.lacks([one]) == [one]
    larder.take(one, b"red ", last=False)
    assert larder.lacks([one]) == [one]
    larder.take(one, b"and green", last=True)
    assert larder.lacks([one]) == []
    assert (tmp_path / one.place).read_bytes() == b"red and green"


def test_a_picture_that_is_here_by_another_name_need_not_come_again(tmp_path: Path) -> None:
    larder = Larder(tmp_path)
    keep(larder, b"red")
    other = parcel(b"red", "style.jpg")
    assert larder.lacks([other]) == []
    assert (tmp_path / other.place).read_bytes() == b"red"


def test_what_changed_on_its_way_is_not_kept(tmp_path: Path) -> None:
    larder, one = Larder(tmp_path), parcel(b"red")
    with pytest.raises(ValueError, match="changed on its way"):
        larder.take(one, b"blue", last=True)
    assert larder.lacks([one]) == [one]
    assert not list((tmp_path / one.key).iterdir())


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    larder = Larder(tmp_path, most=7)
    old, used = keep(larder, b"old"), keep(larder, b"use")
    for one, age in ((used, 9), (old, 5)):
        os.utime(tmp_path / one.key, (age, age))
    assert larder.lacks([used]) == []
    keep(larder, b"new")
    assert larder.lacks([old, used]) == [old]
