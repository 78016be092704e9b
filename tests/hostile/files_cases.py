"""Hostile files: of odd kinds, under odd names, and such that never stand still."""

import os
from itertools import count
from pathlib import Path

from tests.hostile.cases import case
from tests.hostile.world import World

DEEP, EMPTY_FOLDERS, AT_ONCE = 1_500, 20_000, 5_000
MOST_GROWN = 20_000_000


# Kinds of files.


@case("kinds", "a pipe for each file of a pair")
def pipes(world: World) -> None:
    for name in ("content.jpg", "style.jpg", "job.yaml"):
        absent = [name] if name.endswith(".jpg") else []
        os.mkfifo(world.drop_open(f"pipe-for-{name}", *absent) / name)
    os.mkfifo(world.inbox / "side.content.jpg")


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


# Files that never stand still.


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
    "marks that turn the text": "a\u202egpj.exe\u2066".encode(),
    "an option": b"-o",
    "a pattern": b"{name}{folder!r:>99}",
    "markup": b"[bold red]<script>alert(1)<br>",
    "our own: receipt.json": b"receipt.json",
    "our own: _status.txt": b"_status.txt",
    "our own: content": b"content.jpg",
}  # fmt: skip


@case("names", f"pairs in folders of {len(NAMES)} odd names, and the same side by side")
def odd_names(world: World) -> None:
    for number, name in enumerate(NAMES.values()):
        folder = world.make(f"odd-{number}")
        path = Path(os.fsdecode(os.fsencode(world.inbox) + b"/" + name))
        folder.rename(path)
        if not name.startswith(b"."):  # these are left alone
            world.expect_end(path)
        made = world.make(f"odd-{number}-side")
        for file in made.iterdir():
            beside = name[: 254 - len(file.name)] + b"." + os.fsencode(file.name)
            file.rename(os.fsdecode(os.fsencode(world.inbox) + b"/" + beside))


# Crowds.

for stopped, when in ((False, "while the daemon runs"), (True, "before it starts")):

    @case("crowds", f"{EMPTY_FOLDERS:,} empty folders, made {when}", stopped=stopped)
    def many_folders(world: World) -> None:
        for number in range(EMPTY_FOLDERS):
            (world.inbox / f"empty-{number}").mkdir()

    @case("crowds", f"{AT_ONCE:,} texts and lone pictures, made {when}", stopped=stopped)
    def many_files(world: World) -> None:
        picture = (world.spare / "content.jpg").read_bytes()
        for number in range(AT_ONCE):
            ending = "jpg" if number % 2 else "txt"
            (world.inbox / f"lone-{number}.{ending}").write_bytes(picture)
