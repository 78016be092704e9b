"""A short form of `make hostile`: one real daemon, and generated inputs in this process."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.daemon.world import make_inbox, make_settings
from tests.hostile import bombs, strategies
from tests.hostile.cases import Case
from tests.hostile.meter import Meter, allocated
from tests.hostile.strategies import Leaf
from tests.hostile.trial import all_cases, try_in
from tests.hostile.world import MB, Options, World

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.intake.pairing import pair
from stylewatch_daemon.settings.resolve import resolve

SHORT = (
    "job.yaml: anchors that unfold to 9 to the 40th",
    "a pipe for each file of a pair",
    "PNG: 10 gigapixels that are claimed only",
    "JPEG: an EXIF that loops",
    "MP4: a billion frames",
    "times that run backwards",
    "requests of garbage, while the daemon runs",
    "job.yaml: an empty bool with a tag",
    "job.yaml: a name with a surrogate",
    "job.yaml: a device with a NUL",
    "jobs/: claims of garbage, 7 kinds",
)
"""Names of the cases that every run of the tests tries."""

PATIENT = Options(examples=5, within=60.0)
"""No test measures time: a busy machine may be slow."""

few = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow,
                           HealthCheck.data_too_large],
)  # fmt: skip


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
        batch = try_in(world, [cases[name] for name in SHORT])
        assert {result.case.name: result.wrong for result in batch.results} == dict.fromkeys(
            SHORT, ()
        )
        assert batch.after == []
        killed = try_in(world, [Case("test", "a kill", kill), Case("test", "not tried", kill)])
    finally:
        world.close()
    (result,) = killed.results
    assert result.seconds is None
    (text,) = result.wrong
    assert text.startswith("the daemon ended: exit code -9")


def test_changes_outside_leaks_and_a_full_disk_are_found(tmp_path: Path) -> None:
    world = World(tmp_path, PATIENT)
    world.close()
    assert list(world.wrong_outside()) == []
    (world.outbox / "copy").write_bytes((world.elsewhere / "content.jpg").read_bytes())
    (world.elsewhere / "new").touch()
    assert list(world.wrong_outside()) == [
        "something outside was changed",
        "out/copy holds what lies outside",
    ]
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/sparse").touch()
    os.truncate(tmp_path / "disk/sparse", 10**12)
    assert allocated(tmp_path / "disk") < MB
    (tmp_path / "disk/full").write_bytes(b"x" * 3 * MB)
    meter = Meter(lambda: None, (tmp_path / "disk",))
    meter.begin()
    meter.close()
    assert 3 * MB <= meter.disk < 4 * MB


@pytest.mark.parametrize("kind", strategies.JOB_YAML)
@few
@given(data=st.data())
def test_any_job_yaml_is_usable_or_refused_in_a_sentence(
    kind: str, tmp_path: Path, data: st.DataObject
) -> None:
    job_file = tmp_path / "job.yaml"
    job_file.write_bytes(data.draw(strategies.JOB_YAML[kind]))
    inbox = make_inbox(tmp_path / "in", tmp_path / "out")
    try:
        resolved = resolve(make_settings((inbox,), tmp_path / "state"), job_file)
    except SettingsError as error:
        assert "job.yaml" in str(error)
    else:
        assert resolved.model_dump_json()


@few
@given(strategies.trees())
def test_pairs_of_any_names_stay_inside(tree: list[Leaf]) -> None:
    inbox = Path("/inbox")
    files = [inbox.joinpath(*(name.decode("utf-8", "surrogateescape") for name in leaf.way))
             for leaf in tree]  # fmt: skip
    found = pair(inbox, files, {})
    for name in [
        *(item.name for item in found.complete),
        *(item.name for item in found.incomplete),
    ]:
        assert not Path(name).is_absolute()
        assert not {"", ".", ".."} & set(name.split("/"))
        assert name.encode()


SMALL = {
    "png": (bombs.flat_png(70, 50), (70, 50), 1),
    "png, 64 bits": (bombs.flat_png(70, 50, bombs.DEEP), (70, 50), 1),
    "png, a megabyte more than is wanted": (bombs.flat_png(2_000, 900), (2_000, 900), 1),
    "jpeg": (bombs.flat_jpeg(70, 50), (70, 50), 1),
    "jpeg, progressive": (bombs.progressive_jpeg(700, 500, 9), (700, 500), 1),
    "tiff, deflate": (bombs.tiff_of(700, 500, 8, bombs.deflated_zeros(350_000)), (700, 500), 1),
    "tiff, pages": (bombs.many_directories(9), (1, 1), 9),
    "gif": (bombs.flat_gif(5_000, 4_000), (5_000, 4_000), 1),
    "webp": (bombs.riff((b"VP8L", bombs.flat_vp8l(700, 500))), (700, 500), 1),
    "webp, pictures": (bombs.animated_webp(70, 50, 9), (70, 50), 9),
    "bmp": (bombs.flat_bmp(700, 50), (700, 50), 1),
}


@pytest.mark.parametrize("kind", SMALL)
def test_bombs_unfold_to_what_they_claim(kind: str) -> None:
    data, size, pictures = SMALL[kind]
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert picture.size == size
        assert getattr(picture, "n_frames", 1) == pictures
        assert len(picture.convert("RGB").getcolors() or ()) == 1
