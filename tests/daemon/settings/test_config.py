"""config.yaml: its defaults, its mistakes, its paths, and where it is found."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.daemon.job_texts import KEYS, VALUES

from stylewatch_daemon.errors import SettingsError, UnavailableError, UsageError
from stylewatch_daemon.settings import config, sections, yaml_lines
from stylewatch_daemon.settings.job import JobSettings

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of a user's, and a current folder of this test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A config.yaml of the user's, in a folder of its own."""
    path = tmp_path / "mine" / "config.yaml"
    path.parent.mkdir()
    return path


def leaves(model: BaseModel) -> dict[str, object]:
    """Every key of `model` by its dotted name, with the value it has."""
    found: dict[str, object] = {}
    for name, value in model:
        if isinstance(value, BaseModel):
            found |= {f"{name}.{key}": inner for key, inner in leaves(value).items()}
        else:
            found[name] = value
    return found


def test_each_default_in_the_file_that_ships_is_the_default_without_it() -> None:
    document = yaml_lines.read(config.shipped("config.yaml"))
    assert yaml_lines.check(config.Config, document) == config.Config()


def test_the_file_that_ships_names_every_key() -> None:
    document = yaml_lines.read(config.shipped("config.yaml"))
    for key in leaves(config.Config()):
        assert tuple(key.split(".")) in document.lines, key
    for key in sections.Inbox.model_fields:
        assert ("inboxes", 0, key) in document.lines, key


def test_every_key_in_the_file_that_ships_is_explained_beside_it() -> None:
    for line in config.shipped("config.yaml").read_text(encoding="utf-8").splitlines():
        if ":" in line and not line.lstrip().startswith("#") and not line.rstrip().endswith(":"):
            assert "#" in line or not line.startswith(" "), line


def test_every_key_is_in_the_page_on_settings() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    inbox = (f"inboxes.{key}" for key in sections.Inbox.model_fields)
    for key in (*leaves(config.Config()), *inbox):
        assert f"`{key.removeprefix('job.')}`" in page, key


def test_only_what_differs_needs_saying(written: Path) -> None:
    written.write_text("watch: {quiet_s: 5}\n")
    settings = config.load(written)
    assert settings.watch.quiet_s == 5
    assert settings.watch.rescan_s == sections.Watch().rescan_s


def test_paths_in_a_file_start_at_its_folder(written: Path) -> None:
    written.write_text("inboxes: [{path: in, outbox: /far/out}]\nrecipes: [own]\n")
    settings = config.load(written)
    assert settings.inboxes[0].path == written.parent / "in"
    assert settings.inboxes[0].outbox == Path("/far/out")
    assert settings.state.path == written.parent / "state"
    assert settings.pairing.styles == written.parent / "styles"
    assert settings.recipes == (written.parent / "own",)


def test_paths_in_the_file_that_ships_start_at_the_current_folder() -> None:
    assert config.load().inboxes[0].path == Path.cwd() / "inbox"


def test_a_tilde_is_the_users_own_folder(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    written.write_text("state: {path: ~/state}\n")
    assert config.load(written).state.path == Path("/home/someone/state")


def test_every_mistake_in_a_file_is_told_at_once_with_its_line(written: Path) -> None:
    written.write_text("watch:\n  quite_s: 2\n  polling: perhaps\nlimits:\n  attempts: 0\n")
    with pytest.raises(SettingsError) as caught:
        config.load(written)
    first, second, third = str(caught.value).splitlines()
    assert first == (f"{written} line 2: watch: unknown key 'quite_s'; did you mean 'quiet_s'?")
    assert second.startswith(f"{written} line 3: watch.polling: ")
    assert third.startswith(f"{written} line 5: limits.attempts: ")


def test_a_recipe_that_there_is_not_is_a_mistake_in_the_file(written: Path) -> None:
    written.write_text("log: {}\njob:\n  recipe: gatis\n")
    with pytest.raises(SettingsError, match=r"line 2: job: .*did you mean 'gatys'"):
        config.load(written)


def test_a_field_that_no_recipe_has_is_a_mistake_in_the_file(written: Path) -> None:
    written.write_text("job:\n  set: {objective.netwerk.pool: max}\n")
    with pytest.raises(SettingsError, match=r"line 1: job: .*did you mean 'network'"):
        config.load(written)


def test_the_command_line_beats_the_file(written: Path) -> None:
    written.write_text("watch: {quiet_s: 5}\njob: {steps: 7, seed: 1}\n")
    settings = config.load(written, {"watch.quiet_s": 1, "job.steps": 9})
    assert settings.watch.quiet_s == 1
    assert (settings.job.steps, settings.job.seed) == (9, 1)


def test_paths_on_the_command_line_start_at_the_current_folder(written: Path) -> None:
    written.write_text("")
    assert config.load(written, {"state.path": "other"}).state.path == Path.cwd() / "other"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"wacht.quiet_s": 1}, "unknown key 'wacht'; did you mean 'watch'?"),
        ({"watch.quiet": 1}, "watch: unknown key 'quiet'; did you mean 'quiet_s'?"),
        ({"job.stepps": 1}, "job: unknown key 'stepps'; did you mean 'steps'?"),
        ({"job.set.stepps": 1}, "unknown key 'stepps'; did you mean 'steps'?"),
        ({"job.recipe": "gatis"}, "did you mean 'gatys'?"),
        ({"inboxes.path": "x"}, "inboxes.path: 'inboxes' holds no keys"),
        ({"watch.quiet_s": -1}, "watch.quiet_s: input should be greater"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_of_usage(
    overrides: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        config.load(None, overrides)
    assert told in str(caught.value)


def test_an_inbox_on_the_command_line_stands_in_place_of_all(written: Path) -> None:
    written.write_text("inboxes:\n- {path: a, outbox: x, after: keep}\n- {path: b, outbox: y}\n")
    settings = config.load(written, inbox=Path("c"))
    (only,) = settings.inboxes
    assert (only.path, only.outbox, only.after) == (Path.cwd() / "c", written.parent / "x", "keep")
    both = config.load(written, outbox=Path("z")).inboxes
    assert [one.outbox for one in both] == [Path.cwd() / "z"] * 2


def test_several_inboxes_may_share_an_outbox(written: Path) -> None:
    written.write_text("inboxes: [{path: a}, {path: b}]")
    assert len(config.load(written).inboxes) == 2


def test_the_users_file_comes_before_the_one_that_ships(tmp_path: Path) -> None:
    assert config.find() == config.shipped("config.yaml")
    mine = tmp_path / "config-home" / "stylewatch" / "config.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("limits: {attempts: 7}")
    assert config.find() == mine
    assert config.load().limits.attempts == 7


def test_what_ships_is_found_and_what_does_not_is_told() -> None:
    assert config.shipped("config.yaml").is_file()
    with pytest.raises(UnavailableError, match="pip install --force-reinstall stylewatch"):
        config.shipped("nothing.yaml")


def test_a_setting_on_top_beats_the_same_field_in_the_set_below() -> None:
    below = JobSettings(set={"schedule.steps": 3, "start": "noise", "objective.tv": None})
    merged = JobSettings(**config.job_over(below, {"steps": 5, "init": "content"}))
    assert merged.set == {"objective.tv": None}
    assert merged.steps == 5


def test_fields_on_top_join_those_below() -> None:
    below = JobSettings(steps=5, set={"objective.tv": None, "smallest": 1})
    merged = JobSettings(**config.job_over(below, {"set": {"smallest": 2}}))
    assert merged.set == {"objective.tv": None, "smallest": 2}
    assert merged.steps == 5


def test_what_overrides_say_of_jobs_is_as_job_yaml_has_it() -> None:
    overrides = {
        "job.steps": 5,
        "job.stages.size": 90,
        "job.set.objective.tv": None,
        "job.set.smallest": 2,
        "log.level": 1,
    }
    assert config.job_part(overrides) == {
        "steps": 5,
        "stages": {"size": 90},
        "set": {"objective.tv": None, "smallest": 2},
    }


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
def test_nothing_in_a_file_of_settings_raises_more_than_a_sentence(
    text: str, written: Path
) -> None:
    written.write_text(text)
    with pytest.raises(SettingsError) as caught:
        config.load(written)
    assert str(written) in str(caught.value)
    assert len(str(caught.value)) < 3000
    assert "hush" not in str(caught.value)


@given(st.sampled_from(sorted(config.Config.model_fields)), st.lists(st.tuples(KEYS, VALUES)))
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


def test_a_folder_that_cannot_be_found_is_a_mistake_on_the_command_line() -> None:
    with pytest.raises(UsageError, match="home directory"):
        config.load(None, inbox=Path("~nobody-of-this-name/in"))
    with pytest.raises(UsageError, match="too long for a path"):
        config.load(None, outbox=Path("a" * 300))


def test_a_key_cannot_lead_into_a_value_of_a_job() -> None:
    with pytest.raises(UsageError, match=r"job\.set\.x: 'set' holds no keys"):
        config.job_part({"job.set": 5, "job.set.x": 1})
