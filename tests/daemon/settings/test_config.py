"""config.yaml: defaults, mistakes, paths, the command line, and the folders it names."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.daemon.disks import SAME, same_folder
from tests.daemon.job_yaml_texts import KEYS, VALUES
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.errors import SettingsError, UnavailableError, UsageError
from stylewatch_daemon.settings import config, sections, yaml_lines
from stylewatch_daemon.settings.config import Config, ServiceSettings, service_settings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Inbox

ROOT = Path(__file__).parents[3]
Load = Callable[..., Config]


@pytest.fixture(autouse=True)
def _no_user_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "config.yaml"
    path.parent.mkdir()
    return path


@pytest.fixture
def load(file: Path) -> Load:
    """Load settings with this text."""

    def load(text: str, *args: Any, **more: Any) -> Config:
        file.write_text(text)
        return config.load(file, *args, **more)

    return load


def leaves(model: BaseModel) -> dict[str, object]:
    """Every key of `model` by its dotted name, with its value."""
    values: dict[str, object] = {}
    for name, value in model:
        if isinstance(value, BaseModel):
            values |= {f"{name}.{key}": inner for key, inner in leaves(value).items()}
        else:
            values[name] = value
    return values


# The shipped file and its documentation


def test_the_shipped_file_has_every_key_with_its_default_and_a_comment() -> None:
    document = yaml_lines.read(config.shipped("config.yaml"))
    assert yaml_lines.check(Config, document) == Config()
    for key in leaves(Config()):
        assert tuple(key.split(".")) in document.lines, key
    for key in Inbox.model_fields:
        assert ("inboxes", 0, key) in document.lines, key
    for line in config.shipped("config.yaml").read_text(encoding="utf-8").splitlines():
        if ":" in line and not line.lstrip().startswith("#") and not line.rstrip().endswith(":"):
            assert "#" in line or not line.startswith(" "), line


def test_every_key_is_in_the_page_on_settings() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for key in (*leaves(Config()), *(f"inboxes.{key}" for key in Inbox.model_fields)):
        assert f"`{key.removeprefix('job.')}`" in page, key


def test_a_users_file_comes_before_the_shipped_one(tmp_path: Path) -> None:
    assert config.find() == config.shipped("config.yaml")
    mine = tmp_path / "config-home" / "stylewatch" / "config.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("limits: {attempts: 7}")
    assert config.find() == mine
    assert config.load().limits.attempts == 7
    with pytest.raises(UnavailableError, match="pip install --force-reinstall stylewatch"):
        config.shipped("nothing.yaml")


# Paths


def test_paths_in_a_file_start_at_its_folder(load: Load, file: Path) -> None:
    loaded = load("inboxes: [{path: in, outbox: /far/out}, {path: b}]\nrecipes: [own]\n")
    assert [inbox.path for inbox in loaded.inboxes] == [file.parent / "in", file.parent / "b"]
    assert loaded.inboxes[0].outbox == Path("/far/out")
    assert loaded.state.path == file.parent / "state"
    assert loaded.pairing.styles == file.parent / "styles"
    assert loaded.recipes == (file.parent / "own",)


def test_other_paths_start_at_the_current_folder_or_at_home(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert config.load().inboxes[0].path == Path.cwd() / "inbox"
    assert load("", {"state.path": "other"}).state.path == Path.cwd() / "other"
    assert load("state: {path: ~/state}").state.path == Path("/home/someone/state")


def test_an_inbox_on_the_command_line_replaces_all(load: Load, file: Path) -> None:
    text = "inboxes:\n- {path: a, outbox: x, after: keep}\n- {path: b, outbox: y}\n"
    (inbox,) = load(text, inbox=Path("c")).inboxes
    assert inbox == make_inbox(Path.cwd() / "c", file.parent / "x", "keep")
    outboxes = [inbox.outbox for inbox in load(text, outbox=Path("z")).inboxes]
    assert outboxes == [Path.cwd() / "z"] * 2
    with pytest.raises(UsageError, match="home directory"):
        load("", inbox=Path("~nobody-of-this-name/in"))
    with pytest.raises(UsageError, match="too long for a path"):
        load("", outbox=Path("a" * 300))


# Mistakes and overrides


def test_every_mistake_is_reported_at_once_with_its_line(load: Load, file: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load("watch:\n  quite_s: 2\n  polling: perhaps\nlimits:\n  attempts: 0\n")
    first, second, third = str(caught.value).splitlines()
    assert first == f"{file} line 2: watch: unknown key 'quite_s'; did you mean 'quiet_s'?"
    assert second.startswith(f"{file} line 3: watch.polling: ")
    assert third.startswith(f"{file} line 5: limits.attempts: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log: {}\njob:\n  recipe: gatis\n", "line 2: job: .*did you mean 'gatys'"),
        ("job:\n  set: {objective.netwerk.pool: max}\n", "line 1: job: .*did you mean 'network'"),
        ("job:\n  sweep: {seed: [1, 2]}\n", "line 1: job: sweep makes a series of one job"),
        ("job:\n  keep: []\n", "line 2: job: unknown key 'keep'; it is now called 'artifacts'"),
        (
            "alerts:\n\n  tell: []\n",
            "line 3: alerts: unknown key 'tell'; it is now called 'events'",
        ),
    ],
)
def test_a_mistake_of_a_job_or_an_old_key_is_explained(text: str, message: str, load: Load) -> None:
    with pytest.raises(SettingsError, match=message):
        load(text)


def test_the_command_line_beats_the_file_which_beats_the_defaults(load: Load) -> None:
    text = "watch: {quiet_s: 5}\njob: {steps: 7, seed: 1}\n"
    loaded = load(text, {"watch.quiet_s": 1, "job.steps": 9})
    assert (loaded.watch.quiet_s, loaded.watch.rescan_s) == (1, 60)
    assert (loaded.job.steps, loaded.job.seed) == (9, 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"wacht.quiet_s": 1}, "unknown key 'wacht'; did you mean 'watch'?"),
        ({"watch.quiet": 1}, "watch: unknown key 'quiet'; did you mean 'quiet_s'?"),
        ({"job.stepps": 1}, "job: unknown key 'stepps'; did you mean 'steps'?"),
        ({"job.keep": ["sheet"]}, "job: unknown key 'keep'; it is now called 'artifacts'"),
        ({"job.set.stepps": 1}, "unknown key 'stepps'; did you mean 'steps'?"),
        ({"job.recipe": "gatis"}, "did you mean 'gatys'?"),
        ({"inboxes.path": "x"}, "inboxes.path: 'inboxes' holds no keys"),
        ({"job.set": 5, "job.set.x": 1}, "job.set.x: 'set' holds no keys"),
        ({"watch.quiet_s": -1}, "watch.quiet_s: input should be greater"),
    ],
)
def test_a_mistake_on_the_command_line_is_a_usage_error(
    overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        config.load(None, overrides)
    assert message in str(caught.value)


def test_job_overrides_are_as_in_job_yaml() -> None:
    overrides = {"job.steps": 5, "job.stages.size": 90, "job.set.objective.tv": None,
                 "job.set.smallest": 2, "log.level": 1}  # fmt: skip
    job = {"steps": 5, "stages": {"size": 90}, "set": {"objective.tv": None, "smallest": 2}}
    assert config.job_overrides(overrides) == job


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        (
            {"set": {"schedule.steps": 3, "start": "noise", "objective.tv": None}},
            {"steps": 5, "init": "content"},
            {"set": {"objective.tv": None}, "steps": 5, "init": "content"},
        ),
        (
            {"steps": 5, "set": {"objective.tv": None, "smallest": 1}},
            {"set": {"smallest": 2}},
            {"steps": 5, "set": {"objective.tv": None, "smallest": 2}},
        ),
        (
            {"mask": {"feather": "3%"}},
            {"mask": {"outside": "keep"}},
            {"mask": {"feather": "3%", "outside": "keep"}},
        ),
    ],
)
def test_settings_above_beat_the_same_below_and_join_the_rest(
    below: dict[str, object], above: dict[str, object], merged: dict[str, object]
) -> None:
    plain = config.merge_job(JobSettings.model_validate(below), above)
    assert JobSettings.model_validate(plain) == JobSettings.model_validate(merged)


@pytest.mark.parametrize(
    "text",
    [
        "watch: {quiet_s: !!float ''}",
        "watch: {quiet_s: 1.0e+300}",
        "watch: {rescan_s: .inf}",
        f"watch: {{quiet_s: 1{':1' * 300}.5}}",
        f"limits: {{max_pixels: 1{'0' * 400}}}",
        f"limits: {{memory: {'9' * 400}GB}}",
        f"limits: {{attempts: 0x{'f' * 5000}}}",
        'executor: {devices: ["a\\nb"]}',
        "executor: {idle_s: 1.0e+9}",
        'state: {path: "a\\0"}',
        'alerts: {urls: ["json://ann:hushhush@a\\0"]}',
        "alerts: {urls: !!set [x]}",
        "state: {path: ~nobody-of-this-name/state}",
        f"state: {{path: {'a' * 300}}}",
        f"recipes: [{'a/' * 3000}]",
        f"job: {{recipe: {'a' * 3000}.yaml}}",
        f"job: {{set: {{{'a.' * 30_000}b: 1}}}}",
        "inboxes: [{weight: 1.0e-320}]",
        "outbox: {group: 4294967295}",
        f"job: {'[' * 20_000}",
        "x" * (yaml_lines.LONGEST + 1),
    ],
)
def test_hostile_settings_are_refused_in_a_short_text(text: str, load: Load, file: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 3000
    assert "hush" not in str(caught.value)


@given(st.sampled_from(sorted(Config.model_fields)), st.lists(st.tuples(KEYS, VALUES)))
@settings(max_examples=50, deadline=None)
def test_any_text_is_settings_or_a_mistake(section: str, lines: list[tuple[str, str]]) -> None:
    text = "\n".join([f"{section}:", *(f"  {key}: {value}" for key, value in lines)])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(text.encode(errors="surrogatepass"))
        try:
            config.load(path).model_dump_json().encode()
        except SettingsError as error:
            assert str(path) in str(error)


# The running daemon

SRV = Path("/srv")
INBOX = make_inbox(SRV / "in", SRV / "out")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (make_settings([make_inbox(SRV / "in", SRV / "in/out")], SRV / "state"),
         "outbox /srv/in/out lies in"),
        (make_settings([make_inbox(SRV / "in", SRV / "in")], SRV / "state"),
         "outbox /srv/in lies in"),
        (make_settings([INBOX], SRV / "in/state"), "state folder"),
        (make_settings([INBOX, make_inbox(SRV / "in/b", SRV / "out")], SRV / "state"),
         "inbox /srv/in/b lies in"),
        (make_settings([INBOX], SRV / "state", default_style="all", styles=SRV / "in/styles"),
         "style library"),
        (make_settings([INBOX], SRV / "state", outbox=sections.Outbox(group="no-such-group")),
         "outbox.group is 'no-such-group'"),
    ],
)  # fmt: skip
def test_own_folders_inside_an_inbox_are_refused(wrong: ServiceSettings, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        wrong.check()
    with pytest.raises(SettingsError, match=message):
        service_settings(Config.model_construct(**dict(wrong)), {})


def test_folders_side_by_side_are_accepted() -> None:
    make_settings([INBOX, make_inbox(SRV / "in2", SRV / "out")], SRV / "state").check()


def test_a_link_into_an_inbox_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "in")
    with pytest.raises(SettingsError, match="outbox"):
        make_settings([make_inbox(tmp_path / "in", tmp_path / "out")], SRV).check()


@pytest.mark.parametrize("mount", [SAME])
@pytest.mark.parametrize(
    ("mounted", "ours"),
    [("in", "other"), (".", "other/in"), (".", "other/in/out"), ("in/sub", "other/out")],
)
@pytest.mark.parametrize("kind", ["outbox", "state folder"])
def test_a_bind_mount_of_an_inbox_or_around_or_in_it_is_refused(
    mount: str, mounted: str, ours: str, kind: str, tmp_path: Path
) -> None:
    path, wrong = tmp_path / "place/in", tmp_path / ours
    (path / "sub").mkdir(parents=True)
    with same_folder(tmp_path / "place" / mounted, tmp_path / "other"):
        outbox, state = (wrong, SRV) if kind == "outbox" else (tmp_path / "out", wrong)
        with pytest.raises(SettingsError, match=f"the {kind} {wrong} lies in the inbox {path}"):
            make_settings([make_inbox(path, outbox)], state).check()


@pytest.mark.parametrize("mount", [SAME])
def test_a_bind_mount_beside_an_inbox_is_accepted(mount: str, tmp_path: Path) -> None:
    (tmp_path / "place/in").mkdir(parents=True)
    with same_folder(tmp_path / "place", tmp_path / "other"):
        make_settings([make_inbox(tmp_path / "place/in", tmp_path / "other/out")], SRV).check()


def test_service_settings_hold_all_of_config_and_the_job_overrides(load: Load) -> None:
    loaded = load("inboxes: [{path: a, after: delete}, {path: b, after: keep}]\n")
    service = service_settings(loaded, {"job.steps": 9, "watch.quiet_s": 1})
    assert dict(service) == {**dict(loaded), "overrides": {"steps": 9}}
    assert [service.after(inbox.path) for inbox in service.inboxes] == ["delete", "keep"]
    assert service.after(SRV / "no longer configured") == "archive"
    assert len(service.outboxes) == 1
