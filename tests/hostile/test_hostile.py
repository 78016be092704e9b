"""A short form of `make hostile`: one real daemon, and generated inputs in this process."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.daemon.world import make_inbox, make_settings
from tests.hostile import strategies
from tests.hostile.__main__ import try_in
from tests.hostile.cases import cases
from tests.hostile.world import Options, World

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.intake.pairing import pair
from stylewatch_daemon.settings.config import resolve

SHORT = (
    "job.yaml: anchors that unfold to 9 to the 40th",
    "a pipe for each file of a pair, and a socket",
    "content.jpg, of which half is written after a stall",
    "an EXIF that loops (jpg)",
    "30,000 frames",
    "requests of garbage, while the daemon runs",
)
"""Names of the cases that every run of the tests tries."""


def test_beside_hostile_things_good_pairs_are_done(tmp_path: Path) -> None:
    every = {case.name: case for case in cases()}
    assert len(every) == len(cases()), "names are unique"
    world = World(tmp_path, Options(examples=5, within=60.0))  # a busy machine may be slow
    try:
        for result in try_in(world, [every[name] for name in SHORT]):
            assert result.wrong == (), result.case.name
    finally:
        world.close()


few = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow,
                           HealthCheck.data_too_large],
)  # fmt: skip


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
        resolved, _ = resolve(make_settings((inbox,), tmp_path / "state"), job_file, MountGuard())
    except SettingsError as error:
        assert "job.yaml" in str(error)
    else:
        assert resolved.model_dump_json()


@few
@given(strategies.trees())
def test_pairs_of_any_names_stay_inside(tree: list[tuple[bytes, ...]]) -> None:
    inbox = Path("/inbox")
    files = [inbox.joinpath(*map(os.fsdecode, way)) for way in tree]
    found = pair(inbox, files, {})
    for name in (item.name for item in (*found.complete, *found.incomplete)):
        assert not Path(name).is_absolute()
        assert not {"", ".", ".."} & set(name.split("/"))
        assert name.encode()
