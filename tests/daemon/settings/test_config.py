"""config.yaml: defaults, mistakes, paths, the command line, and the folders it names."""

import json
import os
import re
from itertools import permutations
from pathlib import Path

import pytest
from tests.daemon.disks import same_folder
from tests.daemon.settings.conftest import Load
from tests.daemon.world import make_inbox

from stylewatch_daemon.base.errors import SettingsError, UsageError
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import identity
from stylewatch_daemon.intake.scanner import apart
from stylewatch_daemon.settings import config, paths, yaml_lines
from stylewatch_daemon.settings.config import MUST_DIFFER, MUST_NOT_HOLD, Config

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_the_shipped_file_has_the_defaults() -> None:
    text = paths.shipped("config.yaml").read_text(encoding="utf-8")
    assert yaml_lines.check(Config, yaml_lines.parse(text, "config.yaml")) == Config()


def test_the_file_of_the_current_folder_comes_before_the_users_and_the_shipped_one_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = paths.shipped("config.yaml")
    assert config.find() == shipped
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "stylewatch").mkdir()
    config.user_file().write_text("limits: {attempts: 7}")
    assert config.load().limits.attempts == 7
    here = Path.cwd() / "config.yaml"
    here.write_text("limits: {attempts: 8}")
    assert config.load().limits.attempts == 8
    here.write_bytes(shipped.read_bytes())
    assert config.find() == config.user_file(), "as in a clone"


def test_a_file_of_the_current_folder_that_is_of_another_program_or_user_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Path.cwd() / "config.yaml"
    here.write_text("homeassistant: {name: home}")
    hint = f"\n{here} is read because it is in the current folder; --config FILE names another"
    with pytest.raises(SettingsError, match=f"unknown key 'homeassistant'.*{hint}"):
        config.load()
    status, stat = here.stat(), Path.stat
    others = os.stat_result([*status[:4], os.geteuid() + 1, *status[5:]])
    monkeypatch.setattr(
        Path, "stat", lambda path, **more: others if path == Path(here.name) else stat(path, **more)
    )
    with pytest.raises(SettingsError, match=f"{here} belongs to another user, .*--config config"):
        config.find()


def test_paths_in_a_file_start_at_its_folder_and_others_at_the_current_one(
    load: Load, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    text = "inboxes: [{path: ../in/../pictures, outbox: /far/out}, {path: b, finals: best}]\n"
    loaded = load(f"{text}recipes: [own]\nstate: {{path: ~/state}}\n")
    pictures = file.parent.parent / "pictures"
    assert [inbox.path for inbox in loaded.inboxes] == [pictures, file.parent / "b"]
    assert loaded.outboxes == (Path("/far/out"), file.parent / "outbox")
    assert [inbox.finals for inbox in loaded.inboxes] == [None, file.parent / "best"]
    assert loaded.recipes == (file.parent / "own",)
    assert loaded.state.path == Path("/home/someone/state")
    assert config.load().inboxes[0].path == Path.cwd() / "inbox"
    assert load(text, {"state.path": "other"}).state.path == Path.cwd() / "other"


def test_a_recipe_file_is_found_from_the_folder_of_the_settings_or_the_current_one(
    load: Load, file: Path
) -> None:
    for folder in (file.parent / "own", Path.cwd()):
        folder.mkdir(exist_ok=True)
        (folder / "mine.yaml").write_text("extends: gram")
    own = load("job: {recipe: own/mine.yaml}").job.recipe
    assert own == str(file.parent / "own/mine.yaml")
    loaded = load("", {"job.recipe": "mine.yaml"})
    assert loaded.job.recipe == loaded.overrides["recipe"] == str(Path.cwd() / "mine.yaml")


def test_an_inbox_on_the_command_line_replaces_all(load: Load, file: Path) -> None:
    text = "inboxes:\n- {path: a, outbox: x, after: keep}\n- {path: b, outbox: y}\n"
    (inbox,) = load(text, inbox=Path("c")).inboxes
    assert inbox == make_inbox(Path.cwd() / "c", file.parent / "x", "keep")
    assert load(text, outbox=Path("z")).outboxes == (Path.cwd() / "z",)
    with pytest.raises(UsageError, match="is not a name in UTF-8: rename it"):
        load("", outbox=Path("latin\udce9"))


# Mistakes and overrides


def test_the_command_line_beats_the_file_which_beats_the_defaults(load: Load) -> None:
    text = "watch: {quiet_s: 5}\njob: {steps: 7, seed: 1}\n"
    loaded = load(text, {"watch.quiet_s": 1, "job.steps": 9})
    assert (loaded.watch.quiet_s, loaded.watch.rescan_s) == (1, 10)
    assert (loaded.job.steps, loaded.job.seed, loaded.overrides) == (9, 1, {"steps": 9})
    for key, value, message in (
        ("wacht.quiet_s", 1, "unknown key 'wacht'; did you mean 'watch'?"),
        ("job.set.stepps", 1, "unknown key 'stepps'; did you mean 'steps'?"),
        ("job.recipe", "gatis", "did you mean 'gatys'?"),
    ):
        with pytest.raises(UsageError, match=re.escape(message)):
            load(text, {key: value})


@pytest.mark.parametrize(
    ("below", "overrides", "merged"),
    [
        ({"set": {"schedule.steps": 3, "start": "noise", "objective.tv": None}},
         {"job.steps": 5, "job.init": "content", "log.level": 1},
         {"set": {"objective.tv": None}, "steps": 5, "init": "content"}),
        ({"set": {"objective.strength": 1, "schedule.smallest": 3, "steps": 3}},
         {"job.strength": 0.5, "job.set.objective.tv.weight": 0.1, "job.set.smallest": 9},
         {"strength": 0.5, "steps": 3, "set": {"objective.tv.weight": 0.1, "smallest": 9}}),
        ({"preview": "32", "steps": 3}, {"job.set.preview": None, "job.set.schedule.steps": 5},
         {"preview": None, "steps": 5, "set": {"preview": None}}),
        ({"set": {"objective.transport.content_weight": 8}}, {"job.content_weight": 2},
         {"set": {"objective.transport.content_weight": 8}, "content_weight": 2}),
        ({"mask": {"feather": "3%", "outside": "free"}},
         {"job.mask.outside": "keep", "job.clip.format": "mkv"},
         {"mask": {"feather": "3%", "outside": "keep"}, "clip": {"format": "mkv"}}),
    ],
)  # fmt: skip
def test_settings_above_beat_the_same_below_and_join_the_rest(
    below: dict[str, object], overrides: dict[str, object], merged: dict[str, object]
) -> None:
    above = config.job_overrides(overrides)
    assert config.merge_job(below, above) == {"set": {}, **merged}


# The folders

SHARED = (
    "inboxes: [{path: in, outbox: out, finals: FINALS}, {path: in2, outbox: out, finals: FINALS}]"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inboxes: [{path: in, outbox: in/out}]", "outbox"),
        ("inboxes: [{path: in}]\nstate: {path: in/state}", "state folder"),
        ("inboxes: [{path: in}, {path: in/b}]", "in/b lies"),
        ("inboxes: [{path: in}]\npairing: {styles: in/styles, default_style: all}", "library"),
        ("inboxes: [{finals: best}]\npairing: {styles: best, default_style: all}",
         "the style library .*/best lies in the finals folder .*/best, or is that folder"),
        ("pairing: {styles: outbox, default_style: all}", "lies in the outbox"),
        ("inboxes: [{finals: best}]\npairing: {styles: best/own, default_style: all}",
         "the style library .*/best/own lies in the finals folder .*/best, or is that folder"),
        ("inboxes: [{path: best/in, finals: best}]",
         "the inbox .*/best/in lies in the finals folder .*/best: name another"),
        *((SHARED.replace("FINALS", finals), f"finals folder .*/{finals} lies in the {where}")
          for finals, where in (("in", "inbox"), ("out/best", "outbox"), ("state", "state"))),
        *((text, r"state\.path: the state folder .* in one another")
          for text in ("state: {path: out/state}\ninboxes: [{outbox: out}]",
                       "state: {path: st}\ninboxes: [{outbox: st/out}]",
                       "state: {path: st}\ninboxes: [{outbox: st}]")),
    ],
)  # fmt: skip
def test_folders_inside_one_another_are_refused(text: str, message: str, load: Load) -> None:
    with pytest.raises(SettingsError, match=message):
        load(text).check()


FOLDERS = ("inbox", "outbox", "state folder", "finals folder", "style library")


@pytest.mark.parametrize("default", ["all", None])
@pytest.mark.parametrize(("outer", "inner"), [*permutations(FOLDERS, 2), ("inbox", "inbox")])
def test_a_table_says_which_folders_may_be_the_same_or_lie_in_one_another(
    outer: str, inner: str, default: str | None, load: Load
) -> None:
    def is_refused(place: str) -> bool:
        names = {kind: kind.partition(" ")[0] for kind in FOLDERS}
        names |= {outer: "one", inner: place}
        of_inbox = {"outbox": names["outbox"], "finals": names["finals folder"]}
        paths = dict.fromkeys([names["inbox"], "one" if outer == "inbox" else names["inbox"]])
        values = {
            "inboxes": [{"path": path, **of_inbox} for path in paths],
            "state": {"path": names["state folder"]},
            "pairing": {"styles": names["style library"], "default_style": default},
        }
        return bool([*load(json.dumps(values)).mistakes()])

    counts = default is not None or "style library" not in (outer, inner)
    nested = inner in MUST_NOT_HOLD[outer]
    equal = nested or outer in MUST_NOT_HOLD[inner]
    equal = equal or bool({(outer, inner), (inner, outer)} & MUST_DIFFER)
    assert is_refused("one/b") == (nested and counts)
    assert outer == inner or is_refused("one") == (equal and counts)


def test_an_inbox_that_is_the_finals_folder_is_one_mistake(load: Load) -> None:
    assert len([*load("inboxes: [{path: in, finals: in}]").mistakes()]) == 1


def test_folders_beside_one_another_are_used_and_a_scan_leaves_them_alone(
    load: Load, tmp_path: Path
) -> None:
    loaded, guard = load(SHARED.replace("FINALS", "best")), MountGuard()
    loaded.check()
    (tmp_path / "best").mkdir()
    own = loaded.inboxes[0]
    assert dict(loaded.apart(own)).keys() == {"outbox", "state folder", "finals folder", "inbox"}
    for kind, path in loaded.apart(own):
        assert (kind == "inbox") == (path == loaded.inboxes[1].path)
        guard.check(path)
    why = f"it is the finals folder {tmp_path / 'best'}"
    assert apart(loaded, own, guard) == {identity((tmp_path / "best").stat()): why}


@pytest.mark.parametrize(("mounted", "ours"), [("in", "other"), (".", "other/in/out")])
def test_a_bind_mount_or_a_link_of_an_inbox_or_around_it_is_refused(
    mounted: str, ours: str, load: Load, tmp_path: Path
) -> None:
    path, text = tmp_path / "place/in", "inboxes: [{path: place/in, outbox: OUT}]\n"
    (path / "sub").mkdir(parents=True)
    with same_folder(tmp_path / "place" / mounted, tmp_path / "other"):
        for folder, state in ((ours, "state"), ("out", ours)):
            with pytest.raises(SettingsError, match=f"{ours} lies in the inbox {path}"):
                load(text.replace("OUT", folder) + f"state: {{path: {state}}}").check()
        load(text.replace("OUT", "beside/out")).check()
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(SettingsError, match="outbox"):
        load(text.replace("OUT", "link")).check()


def test_the_environment_comes_between_the_file_and_the_command_line(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("STYLEWATCH_JOB__SIZE", "640"), ("STYLEWATCH_JOB__STRENGTH", "0.5"),
        ("STYLEWATCH_JOB__SET__OBJECTIVE__TV__WEIGHT", "0.1"), ("STYLEWATCH_RECIPES", "[a]"),
        ("STYLEWATCH_JOB", "sea"), ("STYLEWATCH_WATCH__IGNORE", "['*.bak']"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    loaded = load("job: {size: 320, strength: 0.2, steps: 7}", {"job.strength": 0.9})
    assert (loaded.job.size, loaded.job.strength, loaded.job.steps) == ("640", 0.9, 7)
    assert loaded.job.set == {"objective.tv.weight": 0.1}
    assert (loaded.watch.ignore, loaded.recipes) == (("*.bak",), (Path.cwd() / "a",))
    assert loaded.overrides == {"strength": 0.9}, "job.yaml beats the environment"


RIGHT = ("JOB__SIZE", "WEB__TOKEN_FILE", "JOB__SAVE_EVERY", "JOB__CLIP__FORMAT")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("JOB__SIZE", "huge", r"environment: .*job\.size"),
        ("JOB__SIZE", "[1", "the variable STYLEWATCH_JOB__SIZE: "),
        *((right.replace("__", "_"), "640", f": two underscores .*: STYLEWATCH_{right}$")
          for right in RIGHT),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment_names_its_source_or_the_right_variable(
    name: str, value: str, words: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"STYLEWATCH_{name}", value)
    with pytest.raises(SettingsError, match=words):
        load("job: {steps: 7}")


@pytest.mark.parametrize("name", ["STYLEWATCH_JOB", "STYLEWATCH_STATE", "STYLEWATCH_PICTURE",
                                  "STYLEWATCH_TOKEN", "STYLEWATCH_TOKEN_FILE"])  # fmt: skip
def test_variables_of_hooks_and_containers_are_no_settings(name: str) -> None:
    assert config.from_environment({name: "x"}) == {}


def test_the_state_folder_is_known_even_if_other_settings_are_wrong(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("state: {path: mine}\nlimits: {attempts: none}\njob: {recipe: gramm}")
    monkeypatch.setenv("STYLEWATCH_JOB__SIZE", "[")
    assert config.state_path(file) == file.parent / "mine"
    for name in ("STYLEWATCH_STATE__PATH", "STYLEWATCH_STATE_PATH"):
        with monkeypatch.context() as patch, pytest.raises(SettingsError, match=name):
            patch.setenv(name, "[")
            config.state_path(file)


def test_a_hook_that_cannot_run_is_a_mistake_of_the_settings(load: Load) -> None:
    load("hooks: {done: [sh, -c, 'true']}").check()
    with pytest.raises(SettingsError, match=r"hooks\.failed: '/nowhere/at-all' is no program"):
        load("hooks: {failed: [/nowhere/at-all]}").check()
    with pytest.raises(SettingsError, match=r"'curl' is no .* as an item of its own") as caught:
        load("hooks: {failed: ['curl -u ann:secret']}").check()
    assert "secret" not in str(caught.value)
