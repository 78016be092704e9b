"""The hostile cases: each puts things somewhere, and may say what must come of them."""

import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.daemon.disks import remount
from tests.daemon.intake.inspection.files import KINDS, made, photograph
from tests.e2e.invariants import files_under
from tests.hostile import bombs, files, state, strategies
from tests.hostile.world import ENDS_WITHIN, QUIET_S, Case, Place, World, cleared, dig

DECODED_WITHIN = 90.0
"""Seconds; a picture may be looked at for half a minute, twice."""

WAITS = 120.0
"""Seconds; a pair that could not be taken is tried again after `watch.rescan_s`."""


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
    return [*tabled, *CASES, *state.cases()]


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
        world.expect(
            f"it was not refused with {end!r}",
            lambda: reason.is_file() and end in reason.read_text(encoding="utf-8"),
        )


@case("pictures", "many bombs at once, in an album", alone=True)
def album_of_bombs(world: World) -> None:
    album = world.make("album")
    (album / "content.jpg").unlink()
    for ending, make in dict(files.PICTURES.values()).items():
        (album / f"picture.{ending}").write_bytes(make())
    album.rename(world.inbox / "album")


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
    **{kind: partial(made, kind) for kind in KINDS},
    "heic": bombs.heic,
    "content.gif": lambda: bombs.gif(20, 40),
    "content.mp4": files.mp4,
}
for kind, make in WHOLE.items():
    name = kind if "." in kind else "content.jpg"
    case("damage", f"cut off and damaged: {kind}", alone=True)(partial(damaged, name, make))
for kind, texts in strategies.JOB_YAML.items():
    case("job.yaml", f"job.yaml, generated: {kind}", alone=True)(partial(written, texts))


@case("names", "trees of files under every name, generated", alone=True)
def generated_trees(world: World) -> None:
    options, picture = world.options, (world.spare / "content.jpg").read_bytes()
    trees = strategies.drawn(strategies.trees(), options.examples, options.seed)
    for number, tree in enumerate(trees):
        for way in tree:
            path = world.inbox.joinpath(f"tree-{number}", *map(os.fsdecode, way))
            with suppress(OSError):  # a file is in the way, or the path is too long
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture)


# -- sparse files


def sparse(name: str, gigabytes: int, world: World) -> None:
    folder = world.drop_open(f"sparse-{name}", name)
    whole = (world.spare / name).read_bytes() if name.endswith(".jpg") else b"seed: 1\n"
    with (folder / f".{name}").open("wb") as file:
        file.write(whole)
        os.truncate(file.fileno(), gigabytes * 10**9)
    (folder / f".{name}").rename(folder / name)
    world.expect_end(folder)
    wrong = f"{name} was not named as too large, where it lies"
    world.expect(wrong, lambda: world.is_left(folder) and (folder / name).is_file())


for name, gigabytes in (("job.yaml", 2), ("style.jpg", 2), ("content.jpg", 1000)):
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


@case("kinds", "devices that give zeros, and that give random bytes, for ever", needs_mounts=True)
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


def stalled(name: str, whole: bytes, world: World) -> None:
    """Write a file of full length, half of it zeros; fill it after a stall."""
    half = len(whole) // 2

    def write_the_rest() -> None:
        with suppress(FileNotFoundError), path.open("r+b") as again:  # it may be taken too early
            again.seek(half)
            again.write(whole[half:])

    path = world.drop_open(f"stalled-{name}", "content.jpg") / name
    path.write_bytes(whole[:half].ljust(len(whole), b"\0"))
    world.later(4 * QUIET_S, write_the_rest)
    painted = world.outbox / path.parent.name / "inputs" / name
    wrong = f"{name}: the whole file was not painted"
    world.expect(wrong, lambda: painted.is_file() and painted.read_bytes() == whole)


WRITTEN = {"content.jpg": photograph("jpeg"), "content.tiff": photograph("tiff")}
for name, whole in WRITTEN.items():
    case("unfinished", f"{name}, of which half is written after a stall")(
        partial(stalled, name, whole)
    )


@case("unfinished", "an empty file, and one that ends too early, as content, style and mask")
def never_whole(world: World) -> None:
    for name, length in (("content.jpg", 0), ("style.jpg", 2000), ("content.mask.png", 0)):
        folder = world.drop_open(f"short-{name}", name)
        (folder / name).write_bytes(photograph("jpeg")[:length])
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


@case("unfinished", "a file that changes its kind again and again")
def changing(world: World) -> None:
    path, turns = world.drop_open("changing", "content.jpg") / "content.jpg", count()
    makers = (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(world.elsewhere),
              lambda: path.write_bytes(b"x"))  # fmt: skip
    world.meanwhile(lambda: (cleared(path), makers[next(turns) % len(makers)]()))


# -- names, trees and crowds

NAMES = (b"n" * 255, b"\xff\xfe\xc3\x28", b"a\nb\r\x1b[2J\x07", b"-o", b"{name}{folder!r:>99}",
         b"$(touch x);`id`", b"receipt.json", b"_status.txt")  # fmt: skip


@case("names", "pairs in folders of odd names, and the same side by side", alone=True)
def odd_names(world: World) -> None:
    inbox = os.fsencode(world.inbox)
    for number, name in enumerate(NAMES):
        path = Path(os.fsdecode(inbox + b"/" + name))
        world.make(f"odd-{number}").rename(path)
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


CROWDS: list[tuple[str, Place, bool]] = [
    ("folders 1,500 levels deep", partial(deep, b"d", 1_500), True),
    ("folders of 200 bytes, 100 levels deep", partial(deep, b"d" * 200, 100), False),
    ("20,000 empty folders", many_folders, True),
    ("5,000 texts and lone pictures", many_files, False),
]
"""Crowds of files: their title, what makes them, and whether the daemon starts only afterwards."""

for title, place, stopped in CROWDS:
    when = "before it starts" if stopped else "while the daemon runs"
    case("crowds", f"{title}, made {when}", alone=True, stopped=stopped)(place)


# -- the outbox


def finished(job: Path) -> None:
    job.mkdir()
    (job / "receipt.json").write_bytes(b"\xff")


THINGS: dict[str, Callable[[Path, World], object]] = {
    "a link outside": lambda path, world: path.symlink_to(world.elsewhere / "secret.txt"),
    "a link to itself": lambda path, world: path.symlink_to(path.name),
    "a pipe": lambda path, world: os.mkfifo(path),
    "a folder with a receipt of garbage": lambda path, world: finished(path),
    "somebody's file": lambda path, world: path.write_bytes(b"x"),
}
"""Kinds of things that lie in the places where the daemon would write."""


PLACES = ("out/_status.txt", "out/_refused", "out/{}", "finals/{}.png")
"""Such places; braces stand for the name of the next job."""


def placed(title: str, place: str, world: World) -> None:
    """Put a thing there."""
    world.finals.mkdir(exist_ok=True)
    THINGS[title](cleared(world.root / place.format(world.next_good)), world)
    world.drop_hostile({"content.jpg": b"no picture"}, within=0)


for title, place_ in product(THINGS, PLACES):
    stopped = title in ("a link outside", "a pipe")
    case("outbox", f"{place_} is {title}", stopped=stopped, alone=True)(
        partial(placed, title, place_)
    )


@case("outbox", "it cannot be written for a while", alone=True, within=WAITS, needs_mounts=True)
def read_only(world: World) -> None:
    # a file of somebody, without which the next start would wait for the mount
    (world.outbox / "note.txt").touch()
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


def one_folder(is_link: bool, world: World) -> None:
    """Let the outbox be the inbox, where no painting may be painted again."""
    good = world.next_good
    if is_link:
        cleared(world.outbox).symlink_to(world.inbox)
        world.undo(lambda: cleared(world.outbox).mkdir())
    else:
        bind(world, world.inbox)

    def is_once() -> bool:
        is_next_done = world.good(WAITS) is not None
        receipts = (path for path in files_under(world.inbox) if path.name == "receipt.json")
        return is_next_done and len([path for path in receipts if good in path.parts[-2]]) <= 1

    world.expect("its own paintings were painted again", is_once)


for means in ("mount", "link"):
    case("outbox", f"it is the inbox, by a {means}", stopped=True, alone=True, exits=(78,),
         needs_mounts=means == "mount")(partial(one_folder, means == "link"))  # fmt: skip
