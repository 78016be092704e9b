"""Hostile job.yaml: in job folders, side by side, in albums, handwritten and generated."""

from functools import partial

from tests.daemon.job_yaml_texts import JOB_TEXTS
from tests.hostile.cases import case
from tests.hostile.world import ENDS_WITHIN, World

GB, TB = 10**9, 10**12


def anchors(levels: int) -> str:
    """Return a value in which each of so many levels repeats the one before nine times."""
    lines = ["&l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"&l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return f"[{', '.join(lines)}]"


TEXTS: dict[str, bytes] = {
    "an empty bool with a tag": b"priority: !!bool foo\n",
    "a timestamp of the 45th of a 13th month": b"name: !!timestamp 2026-13-45\n",
    "an object of Python": b"name: !!python/object/apply:os.abort []\n",
    "a sexagesimal float of 3,000 parts": b"strength: " + b":".join([b"1"] * 3000) + b".5\n",
    "a hexadecimal number of 90,000 digits": b"seed: 0x" + b"f" * 90_000 + b"\n",
    "a name with a surrogate": b'name: "a\\ud800"\n',
    "steps of 1 and 400 zeros": b"steps: 1" + b"0" * 400 + b"\n",
    "a device with a NUL": b'device: "a\\0"\n',
    "a name that leads out": b'name: "../../elsewhere"\n',
    "lists that are 10,000 deep": b"set: " + b"[" * 10_000 + b"]" * 10_000 + b"\n",
    "anchors that unfold to 9 to the 40th": b"artifacts: " + anchors(40).encode() + b"\n",
    "a list that holds itself": b"artifacts: &a [*a]\n",
    "a key of 100 KB": b"k" * 100_000 + b": 1\n",
    "UTF-16": "seed: 1\n".encode("utf-16"),
    "all bytes there are": bytes(range(256)) * 300,
    "a sweep of 100,000 values": b"sweep: {seed: [" + b"1, " * 100_000 + b"]}\n",
}


def _in_a_folder(text: bytes, world: World) -> None:
    world.drop_hostile({"job.yaml": text})


for title, text in TEXTS.items():
    case("job.yaml", f"job.yaml: {title}")(partial(_in_a_folder, text))


@case("job.yaml", "job.yaml, generated")
def generated(world: World) -> None:
    examples = [text.encode("utf-8", "surrogatepass") for text in world.examples(JOB_TEXTS)]
    # A job may wait for a device that is not there, and then none of them can be seen to end.
    ends_within = 0.0 if any(b"device:" in example for example in examples) else ENDS_WITHIN
    for example in examples:
        world.drop_hostile({"job.yaml": example}, ends_within)


WORST = ("an empty bool with a tag", "a name with a surrogate", "lists that are 10,000 deep")


@case("job.yaml", "job.yaml that holds for an album: the worst ones")
def of_an_album(world: World) -> None:
    for number, title in enumerate(WORST):
        made = world.make(f"album-{number}")
        (made / "job.yaml").write_bytes(TEXTS[title])
        for picture in ("one.jpg", "two.jpg"):
            (made / picture).write_bytes((made / "content.jpg").read_bytes())
        (made / "content.jpg").unlink()
        made.rename(world.inbox / made.name)


@case("job.yaml", "job.yaml for one side only, with a tag")
def for_one_side(world: World) -> None:
    folder = world.drop_open("one-side", "style.jpg")
    (folder / "job.yaml").write_bytes(b"only: !!timestamp foo\n")
