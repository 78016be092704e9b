"""The hostile cases: each puts things somewhere, and may say what must come of them."""

import io
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from PIL import Image
from tests.daemon.disks import CAN_MOUNT, remount
from tests.daemon.intake.inspection.files import KINDS, made
from tests.e2e.invariants import files_under
from tests.hostile import bombs, files, state, strategies
from tests.hostile.strategies import Leaf
from tests.hostile.world import ENDS_WITHIN, QUIET_S, World, dig

Place = Callable[[World], object]
DECODED_WITHIN = 90.0
"""Seconds; a picture may be looked at for half a minute, twice."""

WAITS = 120.0
"""Seconds; a pair that could not be taken is tried again after `watch.rescan_s`."""


@dataclass(frozen=True)
class Case:
    """Something hostile, put there by `place`; the options say how it is tried."""

    family: str
    name: str
    place: Place
    stopped: bool = False
    """It is placed between two runs of the daemon; else beside a running one."""
    alone: bool = False
    """No other case shares its daemon."""
    exits: tuple[int, ...] = ()
    """The daemon may refuse to start with one of these codes, until the case is undone."""
    within: float | None = None
    """Seconds for the good pair, where more than usual is fair."""
    needs: Literal["", "root", "mounts"] = ""

    def __str__(self) -> str:
        return f"{self.family} | {self.name}"

    @property
    def can_be_tried(self) -> bool:
        """True if this machine lets us run the case."""
        return CAN_MOUNT if self.needs == "mounts" else not self.needs or os.geteuid() == 0


CASES: list[Case] = []


def case(family: str, name: str, **options: Any) -> Callable[[Place], Place]:
    """Register the decorated function as a case, with options of Case."""

    def register(place: Place) -> Place:
        CASES.append(Case(family, name, place, **options))
        return place

    return register


def cases() -> list[Case]:
    """Return all cases, in the order in which they are tried."""
    tabled = [Case(family, title, partial(drop, row)) for family, rows in files.rows().items()
              for title, row in rows.items()]  # fmt: skip
    return [*tabled, *CASES]


# -- the table of files


def drop(row: files.Row, world: World) -> None:
    """Drop a pair with a file of the table."""
    name, make, end = row
    is_text = name.endswith(".yaml")
    folder = world.drop_hostile({name: make()}, ENDS_WITHIN if is_text else DECODED_WITHIN)
    if end == files.PAINTED:
        world.expect("it was not painted", lambda: world.is_painted(folder.name))
    elif end:
        reason = world.outbox / "_refused" / folder.name / "reason.txt"
        world.expect(f"it was not refused in a line with {end!r}", lambda: is_line(reason, end))


def is_line(reason: Path, part: str) -> bool:
    text = reason.read_text(encoding="utf-8") if reason.is_file() else ""
    return part in text and text.count("\n") == 1


@case("pictures", "many bombs at once, in an album", alone=True)
def album_of_bombs(world: World) -> None:
    album = world.make("album")
    (album / "content.jpg").unlink()
    for ending, make in dict(files.PICTURES.values()).items():
        (album / f"picture.{ending}").write_bytes(make())
    album.rename(world.inbox / "album")


@case("clips", "a film with an initial picture, and with a style that is a film, too")
def film_and_others(world: World) -> None:
    for name, make, part in (("init.jpg", partial(made, "jpeg"), "content.mp4 is a clip"),
                             ("style.mp4", files.mp4, "style.mp4 is a film")):  # fmt: skip
        folder = world.drop_hostile({"content.mp4": files.mp4(), name: make()}, DECODED_WITHIN)
        reason = world.outbox / "_refused" / folder.name / "reason.txt"
        world.expect(f"no line with {part}", partial(is_line, reason, part))


# -- what is generated


def damaged(name: str, whole: Callable[[], bytes], world: World) -> None:
    """Drop contents of this name that are cut off and damaged."""
    place = st.tuples(st.floats(0, 1), st.integers(0, 255))
    cuts = st.one_of(st.just(1.0), st.floats(0, 1))
    hurt = st.builds(bombs.damaged, st.just(whole()), st.lists(place, max_size=6), cuts)
    for example in strategies.drawn(hurt, world.options.examples, world.options.seed):
        world.drop_hostile({name: example})


def written(strategy: SearchStrategy[bytes], world: World) -> None:
    """Drop pairs with such a job.yaml."""
    examples = strategies.drawn(strategy, world.options.examples, world.options.seed)
    # a job may wait for a device that is not there, and then none of them can be seen to end
    within = 0.0 if any(b"device:" in example for example in examples) else ENDS_WITHIN
    for example in examples:
        world.drop_hostile({"job.yaml": example}, within)


WHOLE: dict[str, Callable[[], bytes]] = {
    "content.mp4": files.mp4,
    "content.webm": files.webm,
    "content.gif": lambda: bombs.gif(20, 40),
}
for kind in (*KINDS, "heic"):
    whole = bombs.heic if kind == "heic" else partial(made, kind)
    case("damage", f"cut off and damaged: {kind}", alone=True)(
        partial(damaged, "content.jpg", whole)
    )
for name, whole in WHOLE.items():
    case("damage", f"cut off and damaged: {name}", alone=True)(partial(damaged, name, whole))
for kind, texts in strategies.JOB_YAML.items():
    case("job.yaml", f"job.yaml, generated: {kind}", alone=True)(partial(written, texts))


@case("names", "trees of files of every kind under every name, generated", alone=True)
def generated_trees(world: World) -> None:
    options = world.options
    trees = strategies.drawn(strategies.trees(), options.examples, options.seed)
    for number, tree in enumerate(trees):
        for leaf in tree:
            try:
                plant(world, world.inbox / f"tree-{number}", leaf)
            except OSError:  # a file is in the way, or the path is too long for this system
                continue


def plant(world: World, top: Path, leaf: Leaf) -> None:
    path = top.joinpath(*map(os.fsdecode, leaf.way))
    path.parent.mkdir(parents=True, exist_ok=True)
    match leaf.what:
        case "content" | "style":
            path.write_bytes((world.spare / f"{leaf.what}.jpg").read_bytes())
        case "nothing" | "text":
            path.write_bytes(b"text" if leaf.what == "text" else b"")
        case "link" | "loop":
            path.symlink_to(world.elsewhere / "content.jpg" if leaf.what == "link" else path)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()


# -- job.yaml beside several pairs, and sparse files


@case("job.yaml", "job.yaml of files side by side and of an album: the worst ones", alone=True)
def shared_settings(world: World) -> None:
    for number, text in enumerate([*files.SETTINGS.values()][:3]):
        side, album = world.make(f"side-{number}"), world.make(f"album-{number}")
        for folder in (side, album):
            (folder / "job.yaml").write_bytes(text)
        for path in side.iterdir():
            path.rename(world.inbox / f"side-{number}.{path.name}")
        world.expect_end(world.inbox / f"side-{number}.content.jpg")
        shutil.copy(album / "content.jpg", album / "one.jpg")
        (album / "content.jpg").rename(album / "two.jpg")
        album.rename(world.inbox / album.name)


def sparse(name: str, gigabytes: int, world: World) -> None:
    folder = world.drop_open(f"sparse-{name}", name)
    whole = (world.spare / name).read_bytes() if name.endswith(".jpg") else b"seed: 1\n"
    with (folder / f".{name}").open("wb") as file:
        file.write(whole)
        os.truncate(file.fileno(), gigabytes * 10**9)
    (folder / f".{name}").rename(folder / name)
    world.expect_end(folder)
    if name != "content.jpg" or gigabytes > 2:  # a clip may be long
        wrong = f"{name} was not named as too large, where it lies"
        world.expect(wrong, lambda: world.is_too_large(folder) and (folder / name).is_file())


for name, gigabytes in product(("job.yaml", "content.jpg", "style.jpg"), (2, 1000)):
    title = f"{name} of {gigabytes:,} GB that takes nothing on the disk"
    case("sparse", title, alone=True)(partial(sparse, name, gigabytes))


# -- kinds of files

FILES = ("content.jpg", "style.jpg", "job.yaml")


@case("kinds", "a pipe for each file of a pair, and a socket")
def pipes(world: World) -> None:
    for name in FILES:
        os.mkfifo(world.drop_open(f"pipe-for-{name}", name) / name)
    os.mkfifo(world.inbox / "side.content.jpg")
    here = os.open(world.drop_open("socket", "content.jpg"), os.O_PATH)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"/proc/self/fd/{here}/content.jpg")  # the path may be too long for a socket
    os.close(here)


@case("kinds", "devices that give zeros, and that give random bytes, for ever", needs="root")
def devices(world: World) -> None:
    for name, minor in zip(FILES, (5, 9, 5), strict=True):
        folder = world.drop_open(f"device-for-{name}", name)
        os.mknod(folder / name, 0o020644, os.makedev(1, minor))


@case("kinds", "links: to files and folders outside, to themselves, to /dev/zero, to a memory")
def links(world: World) -> None:
    targets = {"out": world.elsewhere / "content.jpg", "zero": Path("/dev/zero"),
               "memory": Path("/proc/self/mem"), "self": Path("content.jpg")}  # fmt: skip
    for job, target in targets.items():
        (world.drop_open(f"link-{job}", "content.jpg") / "content.jpg").symlink_to(target)
    for target in (world.elsewhere / "job.yaml", world.elsewhere / "secret.txt"):
        (world.drop_open(f"link-{target.stem}") / "job.yaml").symlink_to(target)
    for name, folder in {"folder": world.elsewhere, "inbox": world.inbox}.items():
        (world.inbox / f"link-{name}").symlink_to(folder)
    for here, there in (("link-a", "link-b"), ("link-b", "link-a")):
        (world.inbox / here).symlink_to(world.inbox / there)


@case("kinds", "nothing may be read: mode 000 on a file, on a folder")
def not_readable(world: World) -> None:
    (world.drop_open("closed-file") / "content.jpg").chmod(0)
    folder = world.drop_open("closed-folder")
    folder.chmod(0)
    world.undo(lambda: folder.chmod(0o755) if folder.exists() else None)


# -- files that are not yet what they will be


def photograph(kind: str) -> bytes:
    rows, columns = np.mgrid[0:300, 0:400]
    noise = np.random.default_rng(3).integers(0, 90, (300, 400, 3))
    shades = np.stack([columns // 2, rows // 2, (rows + columns) // 4], axis=-1) + noise
    file = io.BytesIO()
    picture = Image.fromarray(shades.clip(0, 255).astype(np.uint8))
    picture.save(file, kind, quality=95, lossless=True)
    return file.getvalue()


def stalled(name: str, make: Callable[[], bytes], world: World) -> None:
    """Write a file of full length, half of it zeros; fill it after a stall.

    It is kept open meanwhile, or opened again.
    """
    whole = make()
    half = len(whole) // 2

    def write_the_rest(path: Path, file: io.FileIO) -> None:
        if file.closed and not path.exists():
            return  # taken too early: what is expected does not come
        with path.open("r+b", buffering=0) if file.closed else file as again:
            again.seek(half)
            again.write(whole[half:])

    for keep_open in (True, False):
        job = f"stalled-{name}-{keep_open}"
        path = world.drop_open(job, "content.jpg") / name
        file = path.open("wb", buffering=0)
        os.truncate(file.fileno(), len(whole))
        file.write(whole[:half])
        if not keep_open:
            file.close()
        world.later(4 * QUIET_S, partial(write_the_rest, path, file))
        painted = world.outbox / job / "inputs" / name
        world.expect(f"{job}: the whole file was not painted", partial(holds, painted, whole))


def holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


PHOTOGRAPHS: dict[str, Callable[[], bytes]] = {
    f"content.{kind.lower()}": partial(photograph, kind) for kind in ("JPEG", "TIFF", "PNG")
}
for name, whole in {**PHOTOGRAPHS, **WHOLE}.items():
    case("unfinished", f"{name}, of which half is written after a stall")(
        partial(stalled, name, whole)
    )


@case("unfinished", "an empty file, and one that ends too early, as content, style and mask")
def never_whole(world: World) -> None:
    for name in ("content.jpg", "style.jpg", "content.mask.png"):
        for kind, whole in (("empty", b""), ("cut", photograph("JPEG"))):
            folder = world.drop_open(f"{kind}-{name}", name)
            (folder / name).write_bytes(whole[: len(whole) // 3])
            world.expect_end(folder, 60.0)


@case("unfinished", "a picture that grows for ever, and one that is truncated again and again")
def growing(world: World) -> None:
    grows, shrinks = (world.drop_open(job) / "content.jpg" for job in ("growing", "truncated"))
    whole, lengths = shrinks.read_bytes(), count()

    def grow() -> None:
        with grows.open("ab") as file:
            file.write(bytes(65536 if file.tell() < 20_000_000 else 0))

    def fill() -> None:
        with shrinks.open("r+b") as file:
            file.truncate(0 if next(lengths) % 2 else len(whole) // 2)
            file.write(whole)

    world.meanwhile(grow, 0.05)
    world.meanwhile(fill)


@case("unfinished", "files and folders that are renamed to and fro, and that change their kind")
def renamed(world: World) -> None:
    folder, path = world.drop_open("to"), world.drop_open("changing", "content.jpg") / "content.jpg"
    other, turns = folder.with_name("fro"), count()
    makers = (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(world.elsewhere),
              lambda: path.write_bytes(b"x"))  # fmt: skip

    def rename() -> None:
        for here, there in ((folder, other), (other, folder)):
            here.rename(there)
        (folder / "content.jpg").rename(folder / "photo.jpg")
        (folder / "photo.jpg").rename(folder / "content.jpg")

    def change() -> None:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        makers[next(turns) % len(makers)]()

    world.meanwhile(rename)
    world.meanwhile(change)


# -- names, trees and crowds

NAMES = (b"n" * 255, b"\xff\xfe\xc3\x28", b"a\nb\r\x1b[2J\x07", b"-o", b".. x",
         b"{name}{folder!r:>99}", b"$(touch x);`id`", b"con", b"\xed\xa0\x80", b"receipt.json",
         b"_status.txt")  # fmt: skip


@case("names", "pairs in folders of odd names, and the same side by side", alone=True)
def odd_names(world: World) -> None:
    inbox = os.fsencode(world.inbox)
    for number, name in enumerate(NAMES):
        path = Path(os.fsdecode(inbox + b"/" + name))
        world.make(f"odd-{number}").rename(path)
        if not name.startswith(b"."):  # these are skipped
            world.expect_end(path)
        for file in world.make(f"odd-{number}-side").iterdir():
            beside = name[: 254 - len(file.name)] + b"." + os.fsencode(file.name)
            file.rename(os.fsdecode(inbox + b"/" + beside))


@case("names", "names that differ in case only, and letters whose cases differ in length")
def cases_of_names(world: World) -> None:
    for name in ("Twin", "twin", "TWIN", "stra\u00dfe", "STRASSE", "\u0130", "i\u0307"):
        for file in world.make(f"case-{name}").iterdir():
            file.rename(world.inbox / f"{name}.{file.name}")


def deep(name: bytes, levels: int, world: World) -> None:
    """Make a tree that may be deeper than a path can be long, with a pair at its bottom."""
    here = dig(world.inbox, name, levels)
    for part in ("content.jpg", "style.jpg"):
        file = os.open(part, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=here)
        os.write(file, (world.spare / part).read_bytes())
        os.close(file)
    os.close(here)


def many_folders(world: World) -> None:
    for number in range(20_000):
        (world.inbox / f"empty-{number}").mkdir()


def many_files(world: World) -> None:
    picture = (world.spare / "content.jpg").read_bytes()
    for number in range(5_000):
        ending = "jpg" if number % 2 else "txt"
        (world.inbox / f"lone-{number}.{ending}").write_bytes(picture)


CROWDS: dict[str, Place] = {
    "folders 1,500 levels deep": partial(deep, b"d", 1_500),
    "folders of 200 bytes, 100 levels deep": partial(deep, b"d" * 200, 100),
    "20,000 empty folders": many_folders,
    "5,000 texts and lone pictures": many_files,
}
for title, place in CROWDS.items():
    for stopped, when in ((False, "while the daemon runs"), (True, "before it starts")):
        case("crowds", f"{title}, made {when}", alone=True, stopped=stopped)(place)


# -- the outbox


def cleared(path: Path) -> Path:
    """Return `path`, with nothing there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def finished(job: Path) -> None:
    job.mkdir()
    (job / "receipt.json").write_bytes(b"\xff")


THINGS: dict[str, Callable[[Path, World], object]] = {
    "a link outside": lambda path, world: path.symlink_to(world.elsewhere / "secret.txt"),
    "a link to itself": lambda path, world: path.symlink_to(path.name),
    "a link to nowhere": lambda path, world: path.symlink_to("gone"),
    "a pipe": lambda path, world: os.mkfifo(path),
    "a folder with a receipt of garbage": lambda path, world: finished(path),
    "somebody's file": lambda path, world: path.write_bytes(b"x"),
}
"""Kinds of things that lie in the places where the daemon would write."""


def placed(title: str, name: str, world: World) -> None:
    """Put a thing in place of something in the outbox: of the next job where there is no name."""
    THINGS[title](cleared(world.outbox / (name or world.next_good)), world)
    world.drop_hostile({"content.jpg": b"no picture"}, within=0)


def beside(title: str, world: World) -> None:
    """Put a thing where the final picture of the good pair would be linked."""
    world.finals.mkdir(exist_ok=True)
    THINGS[title](world.finals / f"{world.next_good}.png", world)
    other = world.finals / f"{world.next_good}-2.png"
    world.expect("the final picture is not among the finals", other.is_file)


for title in THINGS:
    case("outbox", f"in the finals folder there is {title}")(partial(beside, title))
    for name in ("_status.txt", "_refused", ""):
        stopped = title in ("a link outside", "a pipe")
        case("outbox", f"{name or 'the folder of a job'} is {title}", stopped=stopped, alone=True)(
            partial(placed, title, name)
        )


@case("outbox", "it cannot be written for a while", alone=True, within=WAITS, needs="mounts")
def read_only(world: World) -> None:
    bind(world, world.outbox)
    remount(world.outbox, "ro,bind")
    world.later(4.0, lambda: remount(world.outbox, "rw,bind"))


@case("outbox", ".staging is a link outside for a while", alone=True, within=WAITS)
def staging(world: World) -> None:
    link = cleared(world.outbox / ".staging")
    link.symlink_to(world.elsewhere)
    world.later(4.0, lambda: link.unlink() if link.is_symlink() else None)


def bind(world: World, source: Path) -> None:
    """Show a folder in place of the outbox, until the case is over."""
    subprocess.run(["mount", "--bind", str(source), str(world.outbox)], check=True)
    world.undo(lambda: subprocess.run(["umount", "--lazy", str(world.outbox)], check=False))


def one_folder(name: str, is_link: bool, world: World) -> None:
    """Let the outbox be a folder of the inbox, where no painting may be painted again."""
    source, good = world.inbox / name, world.next_good
    source.mkdir(exist_ok=True)
    if is_link:
        cleared(world.outbox).symlink_to(source)
        world.undo(lambda: cleared(world.outbox).mkdir())
    else:
        bind(world, source)

    def is_once() -> bool:
        is_next_done = world.good(WAITS) is not None
        receipts = [
            path
            for path in files_under(world.root)
            if path.name == "receipt.json" and good in path.parts[-2]
        ]
        inodes = {path.stat().st_ino for path in receipts}  # a mount shows a file twice
        return is_next_done and len(inodes) <= 1

    world.expect("its own paintings were painted again", is_once)


for name, is_link in (("", False), ("painted", False), ("", True)):
    title = f"it {'lies in' if name else 'is'} the inbox, by a {'link' if is_link else 'mount'}"
    needs = "" if is_link else "mounts"
    case("outbox", title, stopped=True, alone=True, exits=(78,), needs=needs)(
        partial(one_folder, name, is_link)
    )


# -- the state folder

for family, title, place, exits in state.rows():
    stopped = not title.endswith("while the daemon runs")
    alone = bool(exits) or title.startswith(("jobs/", "claims/"))
    case(family, title, stopped=stopped, alone=alone, exits=exits)(place)
