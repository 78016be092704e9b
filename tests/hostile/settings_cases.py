"""Hostile job.yaml: in job folders, side by side, in albums, handwritten and generated."""

import os
from functools import partial

from hypothesis.strategies import SearchStrategy
from tests.hostile import strategies
from tests.hostile.cases import case
from tests.hostile.world import ENDS_WITHIN, World

GB, TB = 10**9, 10**12

TEXTS: dict[str, bytes] = {
    "an empty bool with a tag": b"priority: !!bool foo\n",
    "a timestamp that is none": b"name: !!timestamp foo\n",
    "an object of Python": b"name: !!python/object/apply:os.abort []\n",
    "a sexagesimal float of 3,000 parts": b"strength: " + b":".join([b"1"] * 3000) + b".5\n",
    "a hexadecimal number of 90,000 digits": b"seed: 0x" + b"f" * 90_000 + b"\n",
    "a name with a surrogate": b'name: "a\\ud800"\n',
    "steps of 1 and 400 zeros": b"steps: 1" + b"0" * 400 + b"\n",
    "a device with a NUL": b'device: "a\\0"\n',
    "a name that leads out": b'name: "../../elsewhere"\n',
    "lists that are 10,000 deep": b"set: " + b"[" * 10_000 + b"]" * 10_000 + b"\n",
    "anchors that unfold to 9 to the 40th": (
        b"artifacts: " + strategies.anchors(40).encode() + b"\n"
    ),
    "a list that holds itself": b"artifacts: &a [*a]\n",
    "a key of 100 KB": b"k" * 100_000 + b": 1\n",
    "UTF-16": "seed: 1\n".encode("utf-16"),
    "all bytes there are": bytes(range(256)) * 300,
    "a million lines": b"#\n" * 1_000_000,
}  # fmt: skip


def _in_a_folder(text: bytes, world: World) -> None:
    world.drop_hostile({"job.yaml": text})


for title, text in TEXTS.items():
    case("job.yaml", f"job.yaml: {title}")(partial(_in_a_folder, text))


def _generated(strategy: SearchStrategy[bytes], world: World) -> None:
    examples = world.examples(strategy)
    # A job may wait for a device that is not there, and then none of them can be seen to end.
    ends_within = 0.0 if any(b"device:" in example for example in examples) else ENDS_WITHIN
    for example in examples:
        world.drop_hostile({"job.yaml": example}, ends_within)


for kind, strategy in strategies.JOB_YAML.items():
    case("job.yaml", f"job.yaml, generated: {kind}", alone=True)(partial(_generated, strategy))

WORST = ("an empty bool with a tag", "a name with a surrogate", "lists that are 10,000 deep")


@case("job.yaml", "job.yaml of files side by side: the worst ones")
def side_by_side(world: World) -> None:
    for number, title in enumerate(WORST):
        made = world.make(f"side-{number}")
        (made / "job.yaml").write_bytes(TEXTS[title])
        for path in made.iterdir():
            path.rename(world.inbox / f"side-{number}.{path.name}")
        world.expect_end(world.inbox / f"side-{number}.content.jpg")


@case("job.yaml", "job.yaml that holds for an album: the worst ones", alone=True)
def of_an_album(world: World) -> None:
    for number, title in enumerate(WORST):
        made = world.make(f"album-{number}")
        (made / "job.yaml").write_bytes(TEXTS[title])
        for picture in ("one.jpg", "two.jpg"):
            (made / picture).write_bytes((made / "content.jpg").read_bytes())
        (made / "content.jpg").unlink()
        made.rename(world.inbox / made.name)


def _sparse(world: World, name: str, size: int, *, in_place: bool) -> None:
    folder = world.drop_open(f"sparse-{name}", *([name] if name.endswith(".jpg") else []))
    whole = (world.spare / name).read_bytes() if name.endswith(".jpg") else b"seed: 1\n"
    with (folder / f".{name}").open("wb") as file:
        file.write(whole)
        os.truncate(file.fileno(), size)
    (folder / f".{name}").rename(folder / name)
    world.expect_end(folder)
    if in_place:
        world.expect(
            f"{name} was not named as too large, where it lies",
            lambda: world.is_too_large(folder) and (folder / name).is_file(),
        )


for name in ("job.yaml", "content.jpg", "style.jpg"):
    for size, words in ((2 * GB, "2 GB"), (TB, "1 TB")):
        in_place = name != "content.jpg" or size == TB
        case("sparse", f"{name} of {words} that takes nothing on the disk", alone=True)(
            partial(_sparse, name=name, size=size, in_place=in_place)
        )
