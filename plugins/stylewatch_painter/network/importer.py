"""Import of trained weights from files, and download of known files."""

import fcntl
import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from stylewatch_painter import regular_file
from stylewatch_painter.errors import SaveError, WeightsError, WeightsNameError
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.store import (
    Foreign,
    Tensors,
    canonical,
    checked,
    read_foreign,
)
from stylewatch_painter.network.weights import (
    AUTO,
    NORMALIZATIONS,
    CatalogueEntry,
    WeightsFile,
    data_folder,
    described,
    entry_of,
    header,
    own_path,
    sha256_of,
)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def import_file(
    path: Path, *, name: str | None = None, normalization: str | None = None
) -> WeightsFile:
    """Convert the VGG16 or VGG19 in `path` and install it as `name`; `path` is not changed.

    Without a `name`, the name is that of the file in the catalogue, or else derived from the name
    of the file. `normalization` (`caffe`, `torchvision`) defines the network's input if the file's
    digest does not; None stands for the normalization that the file's format implies. Raises
    WeightsError for another network, an unreadable file, and a name that is invalid or belongs to
    other weights. Raises WeightsError for a normalization that is unknown, missing, different from
    the known one, or given for a file in the package's own format. Raises SaveError if the weights
    cannot be written.
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
        with target.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed, or the process ends
            _check_free(file)  # another import may have taken the name
            store.write(target, tensors, file.metadata())
    except OSError as error:
        raise SaveError(f"the weights cannot be kept as {target}: {error}") from error
    return file


def _ours(path: Path, normalization: str | None) -> tuple[WeightsFile, Tensors]:
    """Return the weights in a file that an import wrote on this machine or another.

    The weights are named after the file and keep their digest. Raises WeightsError if there is a
    `normalization`, which the file itself defines, or if the file is unreadable or damaged.
    """
    if normalization is not None:
        raise WeightsError(f"{path.name} defines its own normalization; leave --normalization out")
    file = replace(described(path), name=_plain(path.stem))
    tensors = store.read(path, file.layers)
    return file, checked(dict(tensors), file.architecture, path)


def _recognized(digest: str) -> CatalogueEntry | None:
    """Return the entry of the catalogue with the SHA-256 `digest`; None for an unknown file."""
    for entry in weights.CATALOGUE:
        if digest.startswith(entry.digest):
            return entry
    return None


def _foreign(path: Path, normalization: str | None) -> tuple[WeightsFile, Tensors]:
    digest = sha256_of(path)
    entry = _recognized(digest)
    foreign = read_foreign(path)
    kind = NORMALIZATIONS[_normalization(path, normalization, entry, foreign)]
    file = WeightsFile(
        name=entry.name if entry else _plain(path.stem),
        path=path,
        sha256=digest,
        bits=foreign.bits,
        mean=kind.mean,
        origin=entry.origin if entry else f"imported from {path.name}",
        license=entry.license if entry else "as its source says",
        architecture=foreign.architecture,
    )
    return file, canonical(foreign.arrays, kind)


def _normalization(
    path: Path, requested: str | None, entry: CatalogueEntry | None, foreign: Foreign
) -> str:
    """Return the normalization of `path`: by its digest, as requested, or by its format.

    Raises WeightsError if `requested` is unknown or differs from that of the digest, or if there is
    no known digest, no request and no format that implies a normalization.
    """
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
    entry = entry_of(file.name)
    if entry is not None and (entry.url is None or not file.sha256.startswith(entry.digest)):
        raise WeightsNameError(
            f"{file.name!r} is the name of {entry.file_name}; choose another --name"
        )
    if file.name == AUTO or not _NAME.fullmatch(file.name):
        raise WeightsNameError(
            f"{file.name!r} is not a name for weights: use small letters, digits, '.', '_' and '-'"
        )
    if regular_file.status(file.path) is None:
        return
    present = described(file.path)
    if (present.sha256, present.mean) != (file.sha256, file.mean):
        same = present.sha256 == file.sha256
        other = "these weights with another normalization" if same else "other weights"
        raise WeightsError(
            f"{file.name!r} already names {other} ({file.path}); remove the file or choose another "
            "--name"
        )


def _plain(stem: str) -> str:
    """Return a valid name of weights, derived from the stem of a file name."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._") or "imported"


_SILENCE = 30  # timeout in seconds for a connection that sends nothing
_BLOCK = 1 << 18  # bytes
_LIMIT = 1 << 30  # maximum bytes of a file, far beyond any known one


@dataclass(frozen=True)
class Progress:
    """Progress of a download in bytes; `total` is None if the server does not send it."""

    name: str
    received: int
    total: int | None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Handler that refuses redirections: only hosts in the catalogue are contacted."""

    def redirect_request(self, *_args: object, **_more: object) -> None:
        """Return None, so that the redirection is an error."""


def fetch(name: str) -> Iterator[Progress]:
    """Download the weights called `name`, verify their digest, import them, and yield the progress.

    The progress is yielded after each block. Intact weights are not downloaded again, and damaged
    ones are replaced. Raises WeightsError if the weights are unknown or unavailable, if the
    downloaded file has another digest, if the download is interrupted, or if another process
    downloads the file. Raises SaveError if the file cannot be written.
    """
    entry = entry_of(name)
    if entry is None or entry.url is None:
        names = ", ".join(other.name for other in weights.CATALOGUE if other.url)
        raise WeightsNameError(f"there are no weights {name!r} to fetch; there are {names}")
    folder = data_folder() / "downloads"
    path = folder / entry.file_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(WeightsError):
                store.verify(weights.locate(name))
                return
            try:
                yield from _download(entry, entry.url, path)
                own_path(name).unlink(missing_ok=True)
                import_file(path, name=name)
            finally:
                path.unlink(missing_ok=True)
    except BlockingIOError as error:
        raise WeightsError(f"{entry.file_name} is being fetched by another process") from error
    except OSError as error:
        raise SaveError(f"{entry.file_name} cannot be kept in {folder}: {error}") from error


def _download(entry: CatalogueEntry, url: str, path: Path) -> Iterator[Progress]:
    """Download `url` to `path`, yield the progress, and verify the digest of `entry`.

    Raises WeightsError if the file is unavailable, too large, incomplete, or has another digest.
    """
    digest = hashlib.sha256()
    received = 0
    with _response(url) as response, path.open("wb") as file:
        total = response.length
        while block := _read(response, entry):
            file.write(block)
            digest.update(block)
            received += len(block)
            if max(received, total or 0) > _LIMIT:
                raise WeightsError(
                    f"{url} is larger than any file of weights ({max(received, total or 0)} bytes):"
                    " it is not fetched"
                )
            yield Progress(entry.name, received, total)
    if total is not None and received < total:
        raise _broken(entry, f"after {received} of {total} bytes")
    if not digest.hexdigest().startswith(entry.digest):
        raise WeightsError(
            f"{url} is not {entry.file_name}: expected sha256 {entry.digest}, "
            f"met {digest.hexdigest()}; it was not kept"
        )


def _response(url: str) -> HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "stylewatch"})
    try:
        opener = urllib.request.build_opener(_NoRedirects)
        response: HTTPResponse = opener.open(request, timeout=_SILENCE)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        raise WeightsError(
            f"{url} cannot be downloaded: the server answers {error.code} {error.reason}; "
            f"a file from another source can be imported with `stylewatch weights import`"
        ) from error
    except (HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"{url} cannot be reached ({reason}); try again when there is a network, or take "
            f"a file from another source with `stylewatch weights import`"
        ) from error


def _read(response: HTTPResponse, entry: CatalogueEntry) -> bytes:
    """Return a block of a download; empty at the end.

    An error of the connection becomes a WeightsError, because the caller takes an OSError for an
    error of the disk.
    """
    try:
        return response.read(_BLOCK)
    except (HTTPException, OSError) as error:
        raise _broken(entry, str(error) or type(error).__name__) from error


def _broken(entry: CatalogueEntry, cause: str) -> WeightsError:
    return WeightsError(
        f"the download of {entry.file_name} broke off ({cause}): "
        f"`stylewatch weights fetch {entry.name}` starts it again"
    )
