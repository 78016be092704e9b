"""Imports files of trained weights, and downloads the known ones."""

import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from filelock import FileLock, Timeout

from stylewatch_painter.errors import SaveError, WeightsError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.store import (
    Foreign,
    Tensors,
    canonical,
    checked,
    read_foreign,
)
from stylewatch_painter.network.weights import (
    BUNDLED,
    NORMALIZATIONS,
    Known,
    WeightsFile,
    data_folder,
    described,
    digests,
    header,
    known,
    own_path,
)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def import_file(
    path: Path, *, name: str | None = None, normalization: str | None = None
) -> WeightsFile:
    """Convert the VGG16 or VGG19 in `path` and install it as `name`; `path` is not changed.

    Without a `name` it gets the name it is known by, else that of the file. `normalization`
    (`caffe`, `torchvision`) defines the network's input where neither the file's digest nor its
    form does. Raises WeightsError: another network, unreadable, or of unknown normalization;
    SaveError.
    """
    try:
        header(path)
    except (OSError, ValueError):
        file, tensors = _foreign(path, normalization)
    else:
        file, tensors = _ours(path, normalization)
    named = name or file.name
    target = own_path(named)
    file = replace(file, name=named, path=target)
    _check_free(file)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            _check_free(file)  # another import may have taken the name
            store.write(target, tensors, file.metadata())
    except OSError as error:
        raise SaveError(f"the weights cannot be kept as {target}: {error}") from error
    return file


def _ours(path: Path, normalization: str | None) -> tuple[WeightsFile, Tensors]:
    """A file that an import wrote, on any machine: it keeps its name and digest."""
    if normalization is not None:
        raise WeightsError(f"{path.name} defines its own normalization; leave --normalization out")
    file = replace(described(path), name=_plain(path.stem))
    tensors = store.read(path, file.layers)
    return file, checked(dict(tensors), file.architecture, path)


def _foreign(path: Path, normalization: str | None) -> tuple[WeightsFile, Tensors]:
    catalogue = weights.CATALOGUE
    sums = digests(path, sorted({"sha256", *(entry.algorithm for entry in catalogue)}))
    entry = next((e for e in catalogue if sums[e.algorithm].startswith(e.digest)), None)
    foreign = read_foreign(path)
    kind = NORMALIZATIONS[_normalization(path, normalization, entry, foreign)]
    file = WeightsFile(
        name=entry.name if entry else _plain(path.stem),
        path=path,
        sha256=sums["sha256"],
        bits=foreign.bits,
        mean=kind.mean,
        origin=entry.origin if entry else f"imported from {path.name}",
        license=entry.license if entry else "as its source says",
        architecture=foreign.architecture,
    )
    return file, canonical(foreign, kind)


def _normalization(path: Path, requested: str | None, entry: Known | None, foreign: Foreign) -> str:
    """The normalization of `path`: by its digest, else as requested, else by its form."""
    if requested is not None and requested not in NORMALIZATIONS:
        raise WeightsError(
            f"there is no normalization {requested!r}; there are {', '.join(NORMALIZATIONS)}"
        )
    if entry is not None:
        if requested not in (None, entry.normalization):
            raise WeightsError(
                f"{path.name} is the known file {entry.file_name}, "
                f"whose normalization is {entry.normalization}, not {requested}"
            )
        return entry.normalization
    chosen = requested or foreign.normalization
    if chosen is None:
        raise WeightsError(
            f"{path.name} could have been trained on either kind of picture, and its digest is not "
            f"known: say `--normalization torchvision` (RGB, 0..1, mean and deviation) or "
            f"`--normalization caffe` (BGR, 0..255, mean only)"
        )
    return chosen


def _check_free(file: WeightsFile) -> None:
    if file.name == BUNDLED:
        raise WeightsError(f"{BUNDLED!r} is the name of the bundled weights; choose another --name")
    if not _NAME.fullmatch(file.name):
        raise WeightsError(
            f"{file.name!r} cannot name weights: small letters, digits, '.', '_' and '-' can"
        )
    if file.path.exists() and described(file.path).sha256 != file.sha256:
        raise WeightsError(
            f"{file.name!r} already names other weights ({file.path}); choose another --name"
        )


def _plain(stem: str) -> str:
    """The name for a file's stem."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._") or "imported"


_SILENCE = 30  # seconds without a byte
_BLOCK = 1 << 18  # bytes
_LIMIT = 1 << 30  # bytes; no known file comes near
_CONNECTIONS = 10  # for one download, as long as each brings something
_PART, _NO_SUCH_RANGE = 206, 416  # HTTP


@dataclass(frozen=True)
class Progress:
    """Progress of a download in bytes; `total` is None if the server does not send it."""

    name: str
    received: int
    total: int | None


class _ConnectionError(Exception):
    """The connection ended before the file was complete."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes redirections an error: only hosts in the catalogue are contacted."""

    def redirect_request(self, *_args: object, **_more: object) -> None:
        """Return no request to follow."""


def fetch(name: str) -> Iterator[Progress]:
    """Download the weights called `name`, verify their digest, import them.

    Existing weights are left as they are. Raises WeightsError: unknown, unavailable, not the right
    file, or interrupted (the next call continues there); SaveError.
    """
    entry = known(name)
    if entry is None or entry.url is None:
        names = ", ".join(other.name for other in weights.CATALOGUE if other.url)
        raise WeightsError(f"there are no weights {name!r} to fetch; there are {names}")
    target = own_path(name)
    if target.exists() and described(target):
        return
    folder = data_folder() / "downloads"
    yield from download(entry, folder)
    file = folder / entry.file_name
    with FileLock(folder / f"{file.name}.lock"):
        if file.exists():  # else another process that fetches it was faster
            import_file(file, name=name)
            file.unlink()


def download(entry: Known, folder: Path) -> Iterator[Progress]:
    """Download the file of `entry` to `folder`; it gets its name once it is verified.

    Raises WeightsError and SaveError as fetch does.
    """
    path = folder / entry.file_name
    part = folder / f"{entry.file_name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{entry.file_name}.lock", timeout=0):
            if path.exists():
                _check(entry, path)
                return
            yield from _connections(entry, part)
            _check(entry, part)
            part.replace(path)
    except Timeout as error:
        raise WeightsError(f"{entry.file_name} is being fetched by another process") from error
    except OSError as error:
        raise SaveError(f"{entry.file_name} cannot be kept in {folder}: {error}") from error


def _connections(entry: Known, part: Path) -> Iterator[Progress]:
    """Open connections until the file is complete or one brings nothing."""
    for _ in range(_CONNECTIONS):
        before = _size(part)
        try:
            yield from _connection(entry, part)
            return
        except _ConnectionError as error:
            cause = error
            if _size(part) <= before:
                break
    raise WeightsError(
        f"the download of {entry.file_name} broke off at {_size(part)} bytes ({cause}); "
        f"`stylewatch weights fetch {entry.name}` goes on from there"
    ) from cause


def _connection(entry: Known, part: Path) -> Iterator[Progress]:
    """Request the missing bytes and write them to `part`; all bytes if the server insists."""
    response = _request(entry, _size(part))
    if response is None:  # nothing is missing, as the digest will show
        return
    with response:
        received = _size(part) if response.status == _PART else 0
        expected = f"bytes {received}-"
        if received and not response.headers.get("Content-Range", "").startswith(expected):
            part.unlink()
            raise _ConnectionError("the server sent other bytes than were requested")
        length = response.headers.get("Content-Length")
        total = received + int(length) if length else None
        _check_size(entry, total or 0)
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(received)
            file.seek(received)
            while block := _read(response):
                file.write(block)
                received += len(block)
                _check_size(entry, received)
                yield Progress(entry.name, received, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and received < total:
        raise _ConnectionError(f"of {total}")


def _request(entry: Known, start: int) -> HTTPResponse | None:
    """The response to a request for the bytes from `start` on; None if there are none."""
    assert entry.url is not None
    request = urllib.request.Request(entry.url, headers={"User-Agent": "stylewatch"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        opener = urllib.request.build_opener(_NoRedirects)
        response: HTTPResponse = opener.open(request, timeout=_SILENCE)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _NO_SUCH_RANGE:
            return None
        raise WeightsError(
            f"{entry.url} cannot be downloaded: the server answers {error.code} {error.reason}; "
            f"a file from elsewhere can be taken over with `stylewatch weights import`"
        ) from error
    except (HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"{entry.url} cannot be reached ({reason}); try again when there is a network, or take "
            f"a file from elsewhere with `stylewatch weights import`"
        ) from error


def _read(response: HTTPResponse) -> bytes:
    """Read a block; an error of the connection is none of the disk."""
    try:
        return response.read(_BLOCK)
    except (HTTPException, OSError) as error:
        raise _ConnectionError(str(error) or type(error).__name__) from error


def _check_size(entry: Known, size: int) -> None:
    if size > _LIMIT:
        raise WeightsError(
            f"{entry.url} is larger than any file of weights ({size} bytes): it is not fetched"
        )


def _check(entry: Known, path: Path) -> None:
    """Verify the digest of a complete file; remove a wrong one."""
    digest = digests(path, [entry.algorithm])[entry.algorithm]
    if not digest.startswith(entry.digest):
        path.unlink()
        raise WeightsError(
            f"{entry.url} is not {entry.file_name}: expected {entry.algorithm} {entry.digest}, "
            f"met {digest}; nothing of it was kept"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
