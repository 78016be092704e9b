"""Contents of simulated files: each picture has a token, by which it is found wherever it goes.

Pictures have the first bytes, the stated lengths and the ends of their formats, so that a cut one
is one that lacks its end. A file is whole if it has exactly the bytes that a user has written.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

Token = int
"""Number of a content; no two contents share one."""


@dataclass(frozen=True)
class Content:
    """What a user has written: `kind` is a suffix, `yaml` for a job.yaml, or `text`."""

    token: Token
    kind: str
    data: bytes

    @property
    def is_odd(self) -> bool:
        """True if a painter refuses it, though the inspection does not."""
        return self.kind in PICTURES and self.token % 29 == 0

    @property
    def is_to_learn(self) -> bool:
        """True if it is a job.yaml with `learn: true`."""
        return self.kind == "yaml" and b"learn: true" in self.data

    def cut(self, random: Random) -> bytes:
        """Return its first part, which lacks the end in every format."""
        return self.data[: random.randint(len(self.data) // 2, len(self.data) - 24)]


def _marked(token: Token, room: int) -> bytes:
    """Return `room` bytes that begin and end with a token, and have no zeros."""
    text = f"<{token:06d}>".encode()
    return text + b"." * (room - 2 * len(text)) + text


def _jpg(token: Token, room: int) -> bytes:
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xda\x00\x02" + _marked(token, room) + b"\xff\xd9"


def _png(token: Token, room: int) -> bytes:
    start, end = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xae\x42\x60\x82"
    return start + struct.pack(">I", room) + b"IDAT" + _marked(token, room) + b"crc!" + end


def _bmp(token: Token, room: int) -> bytes:
    side = struct.pack("<IiiHHIIiiII", 40, room // 3, 1, 1, 24, 0, room, 1, 1, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + room, 0, 0, 54) + side + _marked(token, room)


def _gif(token: Token, room: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0)
    comment = b"\x21\xfe" + bytes([room]) + _marked(token, room) + b"\0"
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + b"\x02\x02\x4c\x01\0"
    return screen + comment + image + b"\x3b"


def _ppm(token: Token, room: int) -> bytes:
    return b"P6\n%d 1\n255\n" % (room // 3) + _marked(token, room)


def _tif(token: Token, room: int) -> bytes:
    tags = [(256, room // 3), (257, 1), (258, 8), (259, 1), (262, 2), (273, 0), (277, 3),
            (278, 1), (279, room)]  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    values = {**dict(tags), 273: start}
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    return head + rows + struct.pack("<I", 0) + _marked(token, room)


def _mp4(token: Token, room: int) -> bytes:
    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", 8 + len(data)) + kind + data

    return box(b"ftyp", b"isomisom") + box(b"moov", b"index") + box(b"mdat", _marked(token, room))


_MAKERS: Mapping[str, Callable[[Token, int], bytes]] = {
    "jpg": _jpg, "png": _png, "bmp": _bmp, "gif": _gif, "ppm": _ppm, "tif": _tif, "mp4": _mp4,
}  # fmt: skip

PICTURES = ("jpg", "jpg", "png", "tif", "bmp", "gif", "ppm")
"""Suffixes of pictures, the common ones more often."""

SIZES = (60, 120, 180, 240)
"""Numbers of bytes between head and end: multiples of three, and below 256 for GIF."""


@dataclass
class Contents:
    """All contents of a world, and the bytes that files had between two writes."""

    last: Token = 0
    by_data: dict[bytes, Content] = field(default_factory=dict)
    unfinished: set[bytes] = field(default_factory=set)
    """Bytes of files that were being written."""

    @property
    def odd(self) -> set[Token]:
        """Contents that painters refuse."""
        return {content.token for content in self.by_data.values() if content.is_odd}

    def new(self, kind: str, room: int = SIZES[0], *, learns: bool = False) -> Content:
        """Return a new content; a job.yaml may have `learn: true`."""
        self.last += 1
        if kind == "yaml":
            data = b"seed: %d\npriority: %d\n" % (self.last, self.last % 3 - 1)
            data += b"learn: true\n" * learns
        elif kind == "text":
            data = b"text %d of somebody\n" % self.last
        else:
            data = _MAKERS[kind](self.last, room)
        content = self.by_data[data] = Content(self.last, kind, data)
        return content

    def own(self, kind: str, data: bytes) -> Content:
        """Return a new content that a program has written for a user."""
        self.last += 1
        content = self.by_data[data] = Content(self.last, kind, data)
        return content

    def like(self, content: Content, *, same_size: bool) -> Content:
        """Return a new content of the same kind, of the same or of another size."""
        if content.kind not in _MAKERS:
            return self.new(content.kind, learns=content.is_to_learn and same_size)
        room = len(content.data) - len(_MAKERS[content.kind](1, 0 + SIZES[0])) + SIZES[0]
        others = [size for size in SIZES if size != room]
        return self.new(content.kind, room if same_size else others[content.token % len(others)])

    def of(self, data: bytes) -> Content | None:
        """Return the content with exactly these bytes, if a user has written it."""
        return self.by_data.get(data)
