"""config.yaml: defaults, mistakes, paths, the command line, and the folders it names."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.daemon.disks import same_folder
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


def keys_of(model: BaseModel) -> list[str]:
    """Every key of `model` by its dotted name."""
    return [
        f"{name}.{inner}" if inner else name
        for name in type(model).model_fields
        for value in [getattr(model, name)]
        for inner in (keys_of(value) if isinstance(value, BaseModel) else [""])
    ]


def test_the_shipped_file_and_the_docs_have_every_key_and_the_defaults() -> None:
    document = yaml_lines.read(config.shipped("config.yaml"))
    assert yaml_lines.check(Config, document) == Config()
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for key in (*keys_of(Config()), *(f"inboxes.{key}" for key in Inbox.model_fields)):
        section, *rest = key.split(".")
        where = (section, 0, *rest) if section == "inboxes" and rest else (section, *rest)
        assert where in document.lines, key
        assert f"`{key.removeprefix('job.')}`" in page, key


def test_a_users_file_comes_before_the_shipped_one(tmp_path: Path) -> None:
    assert config.find() == config.shipped("config.yaml")
    mine = tmp_path / "config-home" / "stylewatch" / "config.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("limits: {attempts: 7}")
    assert config.load().limits.attempts == 7
    with pytest.raises(UnavailableError, match="pip install --force-reinstall stylewatch"):
        config.shipped("nothing.yaml")


def test_paths_in_a_file_start_at_its_folder_and_others_at_the_current_one(
    load: Load, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    text = "inboxes: [{path: in, outbox: /far/out}, {path: b}]\nrecipes: [own]\n"
    loaded = load(f"{text}state: {{path: ~/state}}\n")
    assert [inbox.path for inbox in loaded.inboxes] == [file.parent / "in", file.parent / "b"]
    assert loaded.outboxes == (Path("/far/out"), file.parent / "outbox")
    assert (loaded.pairing.styles, loaded.recipes) == (
        file.parent / "styles",
        (file.parent / "own",),
    )
    assert loaded.state.path == Path("/home/someone/state")
    assert config.load().inboxes[0].path == Path.cwd() / "inbox"
    assert load(text, {"state.path": "other"}).state.path == Path.cwd() / "other"


def test_an_inbox_on_the_command_line_replaces_all(load: Load, file: Path) -> None:
    text = "inboxes:\n- {path: a, outbox: x, after: keep}\n- {path: b, outbox: y}\n"
    (inbox,) = load(text, inbox=Path("c")).inboxes
    assert inbox == make_inbox(Path.cwd() / "c", file.parent / "x", "keep")
    assert load(text, outbox=Path("z")).outboxes == (Path.cwd() / "z",)
    with pytest.raises(UsageError, match="home directory"):
        load("", inbox=Path("~nobody-of-this-name/in"))
    with pytest.raises(UsageError, match="too long for a path"):
        load("", outbox=Path("a" * 300))


# Mistakes and overrides


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("watch:\n  quite_s: 2\n  polling: perhaps\nlimits:\n  attempts: 0\n",
         ["line 2: watch: unknown key 'quite_s'; did you mean 'quiet_s'?",
          "line 3: watch.polling: ", "line 5: limits.attempts: "]),
        ("log: {}\njob:\n  recipe: gatis\n", ["line 2: job: there is no recipe 'gatis'; did you"]),
        ("job:\n  set: {objective.netwerk.pool: max}\n", ["line 1: job: recipe best: obj"]),
        ("job:\n  sweep: {seed: [1, 2]}\n", ["line 1: job: sweep makes a series of one job"]),
        ("job:\n  keep: []\n", ["line 2: job: unknown key 'keep'; it is now called 'artifacts'"]),
        ("alerts:\n\n  tell: []\n", ["line 3: alerts: unknown key 'tell'; it is now called 'eve"]),
    ],
)  # fmt: skip
def test_every_mistake_is_reported_at_once_with_its_line(
    text: str, messages: list[str], load: Load, file: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(text)
    for line, message in zip(str(caught.value).splitlines(), messages, strict=True):
        assert line.startswith(f"{file} {message}")


def test_the_command_line_beats_the_file_which_beats_the_defaults(load: Load) -> None:
    text = "watch: {quiet_s: 5}\njob: {steps: 7, seed: 1}\n"
    loaded = load(text, {"watch.quiet_s": 1, "job.steps": 9})
    assert (loaded.watch.quiet_s, loaded.watch.rescan_s) == (1, 60)
    assert (loaded.job.steps, loaded.job.seed) == (9, 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"wacht.quiet_s": 1}, "unknown key 'wacht'; did you mean 'watch'?"),
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


@pytest.mark.parametrize(
    ("below", "overrides", "merged"),
    [
        ({"set": {"schedule.steps": 3, "start": "noise", "objective.tv": None}},
         {"job.steps": 5, "job.init": "content", "log.level": 1},
         {"set": {"objective.tv": None}, "steps": 5, "init": "content"}),
        ({"steps": 5, "set": {"objective.tv": None, "smallest": 1}}, {"job.set.smallest": 2},
         {"steps": 5, "set": {"objective.tv": None, "smallest": 2}}),
        ({"mask": {"feather": "3%"}}, {"job.mask.outside": "keep"},
         {"mask": {"feather": "3%", "outside": "keep"}}),
    ],
)  # fmt: skip
def test_settings_above_beat_the_same_below_and_join_the_rest(
    below: dict[str, object], overrides: dict[str, object], merged: dict[str, object]
) -> None:
    above = config.job_overrides(overrides)
    plain = config.merge_job(JobSettings.model_validate(below), above)
    assert JobSettings.model_validate(plain) == JobSettings.model_validate(merged)


@pytest.mark.parametrize(
    "text",
    [
        "watch: {rescan_s: .inf}", f"watch: {{quiet_s: 1{':1' * 300}.5}}",
        f"limits: {{max_pixels: 1{'0' * 400}}}", f"limits: {{memory: {'9' * 400}GB}}",
        'executor: {devices: ["a\\nb"]}', 'alerts: {urls: ["json://ann:hushhush@a\\0"]}',
        "state: {path: ~nobody-of-this-name/state}", f"state: {{path: {'a' * 300}}}",
        f"recipes: [{'a/' * 3000}]", f"job: {{recipe: {'a' * 3000}.yaml}}",
        f"job: {{set: {{{'a.' * 30_000}b: 1}}}}", "inboxes: [{weight: 1.0e-320}]",
        "outbox: {group: 4294967295}", "x" * (yaml_lines.LONGEST + 1),
    ],
    ids=range(14),
)  # fmt: skip
def test_hostile_settings_are_refused_in_a_short_text(text: str, load: Load, file: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 3000
    assert "hush" not in str(caught.value)


@given(st.sampled_from(sorted(Config.model_fields)), st.lists(st.tuples(KEYS, VALUES)))
@settings(max_examples=20, deadline=None)
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
        service_settings(Config.model_construct(**dict(wrong)), {})
    make_settings([INBOX, make_inbox(SRV / "in2", SRV / "out")], SRV / "state").check()


@pytest.mark.parametrize(
    ("mounted", "ours"),
    [("in", "other"), (".", "other/in"), (".", "other/in/out"), ("in/sub", "other/out")],
)
def test_a_bind_mount_or_a_link_of_an_inbox_or_around_or_in_it_is_refused(
    mounted: str, ours: str, tmp_path: Path
) -> None:
    path, wrong = tmp_path / "place/in", tmp_path / ours
    (path / "sub").mkdir(parents=True)
    with same_folder(tmp_path / "place" / mounted, tmp_path / "other"):
        for outbox, state in ((wrong, SRV), (tmp_path / "out", wrong)):
            with pytest.raises(SettingsError, match=f"{wrong} lies in the inbox {path}"):
                make_settings([make_inbox(path, outbox)], state).check()
        make_settings([make_inbox(path, tmp_path / "beside/out")], SRV).check()
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(SettingsError, match="outbox"):
        make_settings([make_inbox(path, tmp_path / "link")], SRV).check()


def test_service_settings_hold_all_of_config_and_the_job_overrides(load: Load) -> None:
    loaded = load("inboxes: [{path: a, after: delete}, {path: b, after: keep}]\n")
    service = service_settings(loaded, {"job.steps": 9, "watch.quiet_s": 1})
    assert dict(service) == {**dict(loaded), "overrides": {"steps": 9}}
    assert [service.after(inbox.path) for inbox in service.inboxes] == ["delete", "keep"]
    assert service.after(SRV / "no longer configured") == "archive"
