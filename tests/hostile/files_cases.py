"""Hostile files: of every kind, under every name, and such that never stand still."""

import io
import os
import socket
from functools import partial
from itertools import count, product
from pathlib import Path

import numpy as np
from PIL import Image
from tests.hostile import strategies
from tests.hostile.cases import case
from tests.hostile.strategies import Leaf
from tests.hostile.world import QUIET_S, World, dig

DEEP, EMPTY_FOLDERS, AT_ONCE = 1_500, 20_000, 5_000
MOST_GROWN = 20_000_000


# Kinds of files.


@case("kinds", "a pipe for each file of a pair")
def pipes(world: World) -> None:
    for name in ("content.jpg", "style.jpg", "job.yaml"):
        absent = [name] if name.endswith(".jpg") else []
        os.mkfifo(world.drop_open(f"pipe-for-{name}", *absent) / name)
    os.mkfifo(world.inbox / "side.content.jpg")


@case("kinds", "a socket as content.jpg")
def sockets(world: World) -> None:
    folder = world.drop_open("socket", "content.jpg")
    with socket.socket(socket.AF_UNIX) as door:
        here = os.open(folder, os.O_PATH)
        try:
            door.bind(f"/proc/self/fd/{here}/content.jpg")  # the path may be too long for a socket
        finally:
            os.close(here)


@case("kinds", "devices that give zeros, and that give random bytes, for ever", needs="root")
def devices(world: World) -> None:
    for name, minor in (("content.jpg", 5), ("style.jpg", 9), ("job.yaml", 5)):
        absent = [name] if name.endswith(".jpg") else []
        folder = world.drop_open(f"device-for-{name}", *absent)
        os.mknod(folder / name, 0o020644, os.makedev(1, minor))


@case(
    "kinds", "links: to files outside, to folders outside, to themselves, to /dev/zero, to a memory"
)
def links(world: World) -> None:
    targets = {"out": world.elsewhere / "content.jpg", "zero": Path("/dev/zero"),
               "memory": Path("/proc/self/mem"), "self": Path("content.jpg")}  # fmt: skip
    for job, target in targets.items():
        (world.drop_open(f"link-{job}", "content.jpg") / "content.jpg").symlink_to(target)
    for target in (world.elsewhere / "job.yaml", world.elsewhere / "secret.txt"):
        (world.drop_open(f"link-{target.stem}") / "job.yaml").symlink_to(target)
    (world.inbox / "link-folder").symlink_to(world.elsewhere)
    (world.inbox / "link-inbox").symlink_to(world.inbox)
    (world.inbox / "link-a").symlink_to(world.inbox / "link-b")
    (world.inbox / "link-b").symlink_to(world.inbox / "link-a")


@case("kinds", "nothing may be read: mode 000 on a file, on a folder")
def not_readable(world: World) -> None:
    folder = world.drop_open("closed-file")
    (folder / "content.jpg").chmod(0)
    folder = world.drop_open("closed-folder")
    folder.chmod(0)
    world.undo(lambda: folder.chmod(0o755) if folder.exists() else None)


# Files that are not yet what they will be.


def _photograph(kind: str) -> bytes:
    rows, columns = np.mgrid[0:300, 0:400]
    noise = np.random.default_rng(3).integers(0, 90, (300, 400, 3))
    shades = np.stack([columns // 2, rows // 2, (rows + columns) // 4], axis=-1) + noise
    file = io.BytesIO()
    picture = Image.fromarray(shades.clip(0, 255).astype(np.uint8))
    picture.save(file, kind, quality=95, lossless=True)
    return file.getvalue()


def _fill(path: Path, whole: bytes, world: World, *, keep_open: bool, in_full: bool = True) -> None:
    """Make the file, `in_full` length at once, write half of it, stall, write the rest."""
    half = len(whole) // 2
    file = path.open("wb", buffering=0)
    if in_full:
        os.truncate(file.fileno(), len(whole))
    file.write(whole[:half])
    if not keep_open:
        file.close()

    def write_the_rest() -> None:
        try:
            again = file if keep_open else path.open("r+b", buffering=0)
        except FileNotFoundError:
            return  # taken too early: what is expected does not come
        with again:
            again.seek(half)
            again.write(whole[half:])

    world.later(4 * QUIET_S, write_the_rest)


def stalled(
    kind: str, name: str, whole: bytes, world: World, *, in_full: tuple[bool, ...] = (True,)
) -> None:
    """Write contents of this name in two parts, kept open between them or opened again."""
    for keep_open, at_once in product((True, False), in_full):
        job = f"{kind}-{'kept-open' if keep_open else 'opened-again'}"
        job += "" if at_once else "-grows"
        folder = world.drop_open(job, "content.jpg")
        _fill(folder / name, whole, world, keep_open=keep_open, in_full=at_once)
        painted = world.outbox / job / "inputs" / name
        world.expect(f"{job}: the whole file was not painted", partial(_holds, painted, whole))


def _preallocated(kind: str, world: World) -> None:
    stalled(kind, f"content.{kind.lower()}", _photograph(kind), world)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


for kind in ("JPEG", "TIFF", "PNG"):
    case("unfinished", f"a {kind} of full length, half of it zeros, that is filled after a stall")(
        partial(_preallocated, kind)
    )
case(
    "unfinished",
    "a JPEG of full length that is filled after a stall, over mounts",
    over_mounts=True,
)(partial(_preallocated, "JPEG"))


@case("unfinished", "an empty file, and one that ends too early, as content, style and mask")
def never_whole(world: World) -> None:
    for name in ("content.jpg", "style.jpg", "content.mask.png"):
        for kind, whole in (("empty", b""), ("cut", _photograph("JPEG"))):
            absent = [name] if name.endswith(".jpg") else []
            folder = world.drop_open(f"{kind}-{name}", *absent)
            (folder / name).write_bytes(whole[: len(whole) // 3])
            world.expect_end(folder, 60.0)


@case("unfinished", "a picture that grows for ever")
def growing(world: World) -> None:
    path = world.drop_open("growing") / "content.jpg"

    def grow() -> None:
        with path.open("ab") as file:
            if file.tell() < MOST_GROWN:
                file.write(bytes(65536))

    world.meanwhile(grow, 0.05)


@case("unfinished", "a picture that is truncated and filled again and again")
def truncated(world: World) -> None:
    path = world.drop_open("truncated") / "content.jpg"
    whole, lengths = path.read_bytes(), count()

    def fill() -> None:
        with path.open("r+b") as file:
            file.truncate(0 if next(lengths) % 2 else len(whole) // 2)
            file.write(whole)

    world.meanwhile(fill)


@case("unfinished", "files and folders that are renamed to and fro")
def renamed(world: World) -> None:
    folder = world.drop_open("to")
    other = folder.with_name("fro")

    def rename() -> None:
        for here, there in ((folder, other), (other, folder)):
            here.rename(there)
        (folder / "content.jpg").rename(folder / "photo.jpg")
        (folder / "photo.jpg").rename(folder / "content.jpg")

    world.meanwhile(rename)


@case("unfinished", "a file that becomes a folder, a pipe and a link in turn")
def changing_kind(world: World) -> None:
    folder = world.drop_open("changing", "content.jpg")
    path, turns = folder / "content.jpg", count()

    def change() -> None:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        makers = (
            path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(world.elsewhere),
            lambda: path.write_bytes(b"x"),
        )  # fmt: skip
        makers[next(turns) % len(makers)]()

    world.meanwhile(change)


# Names.

NAMES: dict[str, bytes] = {
    "255 bytes": b"n" * 255,
    "no UTF-8": b"\xff\xfe\xc3\x28",
    "a newline and control characters": b"a\nb\r\x1b[2J\x07",
    "an option": b"-o",
    "dots and a space": b".. x",
    "a pattern": b"{name}{folder!r:>99}",
    "a shell's command": b"$(touch x);`id`",
    "a device of Windows": b"con",
    "a surrogate in bytes": b"\xed\xa0\x80",
    "our own: receipt.json": b"receipt.json",
    "our own: _status.txt": b"_status.txt",
}  # fmt: skip


@case("names", f"pairs in folders of {len(NAMES)} odd names, and the same side by side", alone=True)
def odd_names(world: World) -> None:
    for number, name in enumerate(NAMES.values()):
        folder = world.make(f"odd-{number}")
        path = Path(os.fsdecode(os.fsencode(world.inbox) + b"/" + name))
        folder.rename(path)
        if not name.startswith(b"."):  # these are skipped
            world.expect_end(path)
        made = world.make(f"odd-{number}-side")
        for file in made.iterdir():
            beside = name[: 254 - len(file.name)] + b"." + os.fsencode(file.name)
            file.rename(os.fsdecode(os.fsencode(world.inbox) + b"/" + beside))


@case("names", "names that differ in case only, and letters whose cases differ in length")
def cases_of_names(world: World) -> None:
    for name in ("Twin", "twin", "TWIN", "stra\u00dfe", "STRASSE", "\u0130", "i\u0307"):
        folder = world.make(f"case-{name}")
        for file in folder.iterdir():
            file.rename(world.inbox / f"{name}.{file.name}")


@case("names", "trees of files of every kind under every name, generated", alone=True)
def generated_trees(world: World) -> None:
    for number, tree in enumerate(world.examples(strategies.trees())):
        top = world.inbox / f"tree-{number}"
        top.mkdir()
        for leaf in tree:
            _plant(world, top, leaf)


def _plant(world: World, top: Path, leaf: Leaf) -> None:
    path = top.joinpath(*map(os.fsdecode, leaf.way))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        match leaf.what:
            case "content" | "style":
                path.write_bytes((world.spare / f"{leaf.what}.jpg").read_bytes())
            case "nothing" | "text":
                path.write_bytes(leaf.what.encode()[: 4 if leaf.what == "text" else 0])
            case "link":
                path.symlink_to(world.elsewhere / "content.jpg")
            case "loop":
                path.symlink_to(path)
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
    except OSError:  # a file is in the way, or the path is too long for this system
        pass


# Trees and crowds.


def _deep(world: World, name: bytes, levels: int) -> None:
    """Make a tree that may be deeper than a path can be long, with a pair at its bottom."""
    here = dig(world.inbox, name, levels)
    for part in ("content.jpg", "style.jpg"):
        file = os.open(part, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=here)
        os.write(file, (world.spare / part).read_bytes())
        os.close(file)
    os.close(here)


for stopped, when in ((False, "while the daemon runs"), (True, "before it starts")):
    case("trees", f"folders {DEEP} levels deep, made {when}", alone=True, stopped=stopped)(
        partial(_deep, name=b"d", levels=DEEP)
    )
    case(
        "trees", f"folders of 200 bytes, 100 levels deep, made {when}", alone=True, stopped=stopped
    )(partial(_deep, name=b"d" * 200, levels=100))


for stopped, when in ((False, "while the daemon runs"), (True, "before it starts")):

    @case("crowds", f"{EMPTY_FOLDERS:,} empty folders, made {when}", alone=True, stopped=stopped)
    def many_folders(world: World) -> None:
        for number in range(EMPTY_FOLDERS):
            (world.inbox / f"empty-{number}").mkdir()

    @case(
        "crowds", f"{AT_ONCE:,} texts and lone pictures, made {when}", alone=True, stopped=stopped
    )
    def many_files(world: World) -> None:
        picture = (world.spare / "content.jpg").read_bytes()
        for number in range(AT_ONCE):
            ending = "jpg" if number % 2 else "txt"
            (world.inbox / f"lone-{number}.{ending}").write_bytes(picture)
