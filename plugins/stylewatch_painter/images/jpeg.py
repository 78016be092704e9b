"""Checks of JPEG files (ITU-T T.81) that libvips does not make: their kind, scans and end."""

import re
from typing import Any

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.vips import vips

MAX_SCANS = 200
"""Maximum number of scans of a JPEG. Programs write about ten, and decoding each scan takes as long
as decoding a baseline JPEG."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
"""Pattern for a marker that begins a segment or ends the picture."""

_SCAN = b"\xda"
_END = b"\xd9"

_UNREAD = {b"\xc3": "is a lossless JPEG", b"\xc9": "is a JPEG with arithmetic coding",
           b"\xca": "is a JPEG with arithmetic coding", b"\xcb": "is a lossless JPEG"}  # fmt: skip
"""Unsupported kinds of frames (table B.1), with the beginning of the message."""

_FRAMES = {bytes([kind]) for kind in range(0xC0, 0xD0)} - {b"\xc4", b"\xc8", b"\xcc"}
_BITS = 8

_NEAR_END, _FINE = 16_384, 16
"""Number of bytes before the end of the picture from which `Feed` returns only small parts, and the
maximum number of bytes of such a part."""


def end_of(data: bytes) -> int:
    """Return the offset in `data` where the last complete scan ends; without one, its length.

    Segments such as a thumbnail are skipped, and so are the bytes after the end of the picture,
    which may be anything, such as the clip of a motion photo. Raises PictureError for too many
    scans, which would take long, and for an unsupported kind of JPEG.
    """
    scans = 0
    at = 2
    end = len(data)
    is_in_scan = False
    while found := _MARKER.search(data, at):
        if is_in_scan:
            end = found.start()
        if found[1] == _END:
            break
        _check_frame(found[1], data[found.end() + 2 : found.end() + 3])
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        is_in_scan = found[1] == _SCAN
        at = found.end() + length
        scans += is_in_scan
    if scans > MAX_SCANS:
        raise PictureError(f"has {scans:,} scans; the limit is {MAX_SCANS}: save it again")
    return end


def _check_frame(kind: bytes, bits: bytes) -> None:
    """Raise PictureError for a frame of an unsupported kind or number of bits per sample."""
    reason = _UNREAD.get(kind)
    if reason is None and kind in _FRAMES and bits > bytes([_BITS]):
        reason = f"is a JPEG of {bits[0]} bits per channel"
    if reason is not None:
        raise PictureError(f"{reason}, which is not read; save it as PNG")


class Feed:
    """Source of a JPEG's bytes for libvips, which records how far libvips reads.

    Near the `end` of the picture a read returns only a few bytes, so that the bytes that libvips
    did not ask for are known to belong to no pixel.
    """

    def __init__(self, data: bytes, end: int) -> None:
        self._data = data
        self._end = end
        self._at = 0
        self._most = 0
        self._raised: BaseException | None = None

    def unread(self) -> int:
        """Return the number of bytes before the end of the picture that libvips did not ask for.

        Call this once all pixels have been decoded. If a signal handler raised an exception while
        libvips was reading, libvips discarded that exception, and this method raises it.
        """
        if self._raised is not None:
            raise self._raised
        return max(0, self._end - self._most)

    def load(self, shrink: int) -> Any:
        """Return the picture at 1/`shrink` of its size; its pixels are decoded as they are used.

        This restarts the count of `unread`.
        """
        self._at = self._most = 0
        source = vips().SourceCustom()
        source.on_read(self._read)
        source.on_seek(self._seek)
        image = vips().Image.jpegload_source(
            source, access="sequential", fail_on="error", shrink=shrink
        )
        # libvips calls back while it reads, so the callbacks must live as long as the picture and
        # all pictures that are made of it, which hold its references
        image._references.append(source)
        return image

    def _read(self, size: int) -> bytes:
        at = self._at
        try:
            return self._part(size)
        except BaseException as error:
            self._raised = error
            self._at = at
            return self._part(size)

    def _part(self, size: int) -> bytes:
        if self._at >= self._end - _NEAR_END:
            size = min(size, _FINE)
        part = self._data[self._at : self._at + size]
        self._at += len(part)
        self._most = max(self._most, self._at)
        return part

    def _seek(self, offset: int, whence: int) -> int:
        self._at = (0, self._at, len(self._data))[whence] + offset
        return self._at
