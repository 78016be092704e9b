"""Takes a file of trained weights over: recognizes it, converts it, keeps it by name."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from stylewatch_painter.errors import SaveError, WeightsError
from stylewatch_painter.network import store
from stylewatch_painter.network.catalogue import BUNDLED, CATALOGUE, LAYERS, NORMALIZATIONS, Known
from stylewatch_painter.network.formats import Foreign, canonical, checked, read_foreign
from stylewatch_painter.network.store import Tensors
from stylewatch_painter.network.weights import WeightsFile, described, digests, header, own_path

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def import_file(
    path: Path,
    *,
    home: Path | None = None,
    name: str | None = None,
    normalization: str | None = None,
    catalogue: Sequence[Known] = CATALOGUE,
) -> WeightsFile:
    """Convert the VGG19 in `path` and keep it in `home` as `name`; `path` itself is left alone.

    Without a `name` it gets the one it is known by, else that of the file. `normalization`
    (`caffe`, `torchvision`) says what the network expects of a picture where neither the
    file's digest nor its form does.
    Raises WeightsError: not VGG19, unreadable, or its normalization is not known; SaveError.
    """
    if _is_ours(path):
        file, tensors = _ours(path, normalization)
    else:
        file, tensors = _foreign(path, normalization, catalogue)
    named = name or file.name
    target = own_path(named, home)
    file = replace(file, name=named, path=target)
    _check_free(file)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            store.write(target, tensors, file.metadata())
    except OSError as error:
        raise SaveError(f"the weights cannot be kept as {target}: {error}") from error
    return file


def _is_ours(path: Path) -> bool:
    try:
        return bool(header(path))
    except (OSError, ValueError):
        return False


def _ours(path: Path, normalization: str | None) -> tuple[WeightsFile, Tensors]:
    """A file that an import wrote, here or on another machine: it keeps its name and digest."""
    if normalization is not None:
        raise WeightsError(f"{path.name} says itself what it expects; leave the normalization out")
    tensors = store.read(path, LAYERS)
    return replace(described(path), name=_plain(path.stem)), checked(dict(tensors), path)


def _foreign(
    path: Path, normalization: str | None, catalogue: Sequence[Known]
) -> tuple[WeightsFile, Tensors]:
    met = digests(path, sorted({"sha256", *(entry.algorithm for entry in catalogue)}))
    entry = next((e for e in catalogue if met[e.algorithm].startswith(e.digest)), None)
    foreign = read_foreign(path)
    kind = NORMALIZATIONS[_normalization(path, normalization, entry, foreign)]
    file = WeightsFile(
        name=entry.name if entry else _plain(path.stem),
        path=path,
        sha256=met["sha256"],
        bits=foreign.bits,
        mean=kind.mean,
        origin=entry.origin if entry else f"imported from {path.name}",
        license=entry.license if entry else "as its source says",
    )
    return file, canonical(foreign, kind)


def _normalization(path: Path, asked: str | None, entry: Known | None, foreign: Foreign) -> str:
    """What `path` expects of a picture: by its digest, else as asked, else by its form."""
    if asked is not None and asked not in NORMALIZATIONS:
        raise WeightsError(
            f"there is no normalization {asked!r}; there are {', '.join(NORMALIZATIONS)}"
        )
    if entry is not None:
        if asked not in (None, entry.normalization):
            raise WeightsError(
                f"{path.name} is the known file {entry.file_name}, "
                f"whose normalization is {entry.normalization}, not {asked}"
            )
        return entry.normalization
    chosen = asked or foreign.normalization
    if chosen is None:
        raise WeightsError(
            f"{path.name} could have been trained on either kind of picture, and its digest is not "
            f"known: say `--normalization torchvision` (RGB, 0..1, mean and deviation) or "
            f"`--normalization caffe` (BGR, 0..255, mean only)"
        )
    return chosen


def _check_free(file: WeightsFile) -> None:
    if file.name == BUNDLED:
        raise WeightsError(f"{BUNDLED!r} names the weights that come along; choose another --name")
    if not _NAME.fullmatch(file.name):
        raise WeightsError(
            f"{file.name!r} cannot name weights: small letters, digits, '.', '_' and '-' can"
        )
    if file.path.exists() and described(file.path).sha256 != file.sha256:
        raise WeightsError(
            f"{file.name!r} already names other weights ({file.path}); choose another --name"
        )


def _plain(stem: str) -> str:
    """A file's stem as a name."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._") or "imported"
