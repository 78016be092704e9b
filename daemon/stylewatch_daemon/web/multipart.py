"""A form with files, as it comes: files go to the disk piece by piece, and never into memory."""

from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.ingest.pairing import PICTURE_SUFFIXES

FILES = 17
"""Files of one form: a content, and more styles than anybody mixes."""

PIECES = 150
"""Parts of a form and their headers together, empty ones included."""

LONGEST = 1_000
"""Bytes of a field, and of a header."""

_TOO_MUCH = "there is more in this form than belongs into it"


@dataclass(frozen=True)
class File:
    """A file that came in the field `field`, `named` so by whoever sent it; it lies at `path`."""

    field: str
    named: str
    path: Path


class Form:
    """Takes a form with this `content_type` to pieces; its files go into `folder`.

    What nothing was chosen for, which browsers send without a name, is passed over. Raises
    InputError for what is no such form, or has too much in it; OSError.
    """

    def __init__(self, content_type: str, folder: Path) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise InputError("pictures come as a form with files: multipart/form-data")
        self.fields: dict[str, str] = {}
        self.files: list[File] = []
        self.is_whole = False
        self._folder = folder
        self._pieces = 0
        self._header = self._about = b""
        self._field: str | None = None
        self._value = b""
        self._writing: BufferedWriter | None = None
        self._parser = self._taking(options[b"boundary"])

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InputError(f"that is no form with files: {error}") from None

    def close(self) -> None:
        """Let go of a file that did not come to its end."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _taking(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_begin": self._begin_header,
                    "on_header_field": self._hear_header,
                    "on_header_value": self._hear_about,
                    "on_header_end": self._end_header,
                    "on_part_data": self._hear,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as error:
            raise InputError(f"that is no form with files: {error}") from None

    def _count(self) -> None:
        """Count a part or a header: each costs time, however little is in it."""
        self._pieces += 1
        if self._pieces > PIECES:
            raise InputError(_TOO_MUCH)

    def _begin(self) -> None:
        self._count()
        self._field, self._value = None, b""

    def _begin_header(self) -> None:
        self._count()
        self._header = self._about = b""

    def _hear_header(self, data: bytes, start: int, end: int) -> None:
        self._header = _longer(self._header, data[start:end])

    def _hear_about(self, data: bytes, start: int, end: int) -> None:
        self._about = _longer(self._about, data[start:end])

    def _end_header(self) -> None:
        """What is to come now: a field, or a file, by whatever name."""
        if self._header.lower() != b"content-disposition":
            return
        _, options = parse_options_header(self._about)
        self._field = options.get(b"name", b"").decode(errors="replace")
        named = options.get(b"filename")
        if not named:
            if named is not None:
                self._field = None
            return
        if len(self.files) >= FILES:
            raise InputError(f"there are more than {FILES} pictures in one form")
        name = named.decode(errors="replace")
        ending = name.rpartition(".")[2].lower()
        path = self._folder / f"{len(self.files)}.{ending if ending in PICTURE_SUFFIXES else 'img'}"
        self.close()
        self._writing = path.open("xb")
        self.files.append(File(self._field, name, path))

    def _hear(self, data: bytes, start: int, end: int) -> None:
        if self._writing is not None:
            self._writing.write(data[start:end])
        elif self._field is not None:
            self._value = _longer(self._value, data[start:end])

    def _end(self) -> None:
        if self._writing is not None:
            self.close()
        elif self._field and (text := self._value.decode(errors="replace").strip()):
            self.fields[self._field] = text

    def _finish(self) -> None:
        self.is_whole = True


def _longer(known: bytes, more: bytes) -> bytes:
    """`known` with `more`; raises InputError where that is longer than a field or a header is."""
    if len(known) + len(more) > LONGEST:
        raise InputError(_TOO_MUCH)
    return known + more
