"""A short form of `make hostile`: one real daemon, and the bombs at a small size."""

import io
from pathlib import Path

import pytest
from PIL import Image
from tests.hostile import bombs
from tests.hostile.cases import Case
from tests.hostile.trial import all_cases, try_in
from tests.hostile.world import Options, World

SHORT = (
    "job.yaml: anchors that unfold to 9 to the 40th",
    "a pipe for each file of a pair",
    "PNG: 10 gigapixels that are claimed only",
    "JPEG: an EXIF that loops",
    "requests of garbage, while the daemon runs",
    "job.yaml: an empty bool with a tag",
    "job.yaml: a name with a surrogate",
    "a job whose record is a link outside",
)
"""Names of the cases that every run of the tests tries."""

PATIENT = Options(examples=5, within=60.0)
"""No test measures time: a busy machine may be slow."""


def kill(world: World) -> None:
    assert world.process is not None
    world.process.kill()
    world.process.wait()


def test_beside_hostile_things_good_pairs_are_done_and_a_daemon_that_ends_is_found(
    tmp_path: Path,
) -> None:
    every = all_cases()
    cases = {case.name: case for case in every}
    assert len(cases) == len(every), "names are unique"
    world = World(tmp_path, PATIENT)
    try:
        results, after = try_in(world, [cases[name] for name in SHORT])
        assert {result.case.name: result.wrong for result in results} == dict.fromkeys(SHORT, ())
        assert after == []
        (result,), _ = try_in(world, [Case("test", "a kill", kill), Case("test", "another", kill)])
    finally:
        world.close()
    assert result.seconds is None
    (text,) = result.wrong
    assert text.startswith("the daemon ended: exit code -9")


SMALL = {
    "png": (bombs.flat_png(70, 50), (70, 50), 1),
    "png, 64 bits": (bombs.flat_png(70, 50, bombs.DEEP), (70, 50), 1),
    "png, a megabyte more than is wanted": (bombs.flat_png(2_000, 900), (2_000, 900), 1),
    "jpeg": (bombs.flat_jpeg(70, 50), (70, 50), 1),
    "jpeg, progressive": (bombs.progressive_jpeg(700, 500, 9), (700, 500), 1),
    "tiff, deflate": (bombs.tiff_of(700, 500, 8, bombs.deflated_zeros(350_000)), (700, 500), 1),
    "tiff, PackBits": (bombs.tiff_of(128, 50, 32773, b"\x81\0" * 50), (128, 50), 1),
    "webp": (bombs.riff((b"VP8L", bombs.flat_vp8l(700, 500))), (700, 500), 1),
    "bmp": (bombs.flat_bmp(700, 50), (700, 50), 1),
    "no damage": (bombs.damaged(bombs.flat_png(70, 50), [], 1.0), (70, 50), 1),
}


@pytest.mark.parametrize("kind", SMALL)
def test_bombs_unfold_to_what_they_claim(kind: str) -> None:
    data, size, pictures = SMALL[kind]
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert picture.size == size
        assert getattr(picture, "n_frames", 1) == pictures
        assert len(picture.convert("RGB").getcolors() or ()) == 1
