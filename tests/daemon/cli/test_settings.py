"""`stylewatch config`, `alerts`, `doctor`, `recipes` and `backends`."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.alert_server import alert_server
from tests.daemon.cli.conftest import Run

from stylewatch_daemon.doctor import backends
from stylewatch_daemon.doctor.finding import ok, problem
from stylewatch_daemon.settings import config
from stylewatch_painter.recipes import book


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").touch()
    return tmp_path / "config.yaml"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("watch:\n  quite_s: 1\njob:\n  steps: -1\n",
         ["line 2: watch: unknown key 'quite_s'", "line 4: job.steps: "]),
        ("backends:\n  skech: {}\nalerts: {urls: ['json://ann:hushhush@a', hushhush]}\n",
         ["alerts: URL 2 of 2: apprise does not know", "backends.skech: "]),
        ("pairing:\n  default_style: night\n  styles: .\n", ["line 2: pairing.default_style is "]),
        ("inboxes: [{path: in, outbox: in/out}]\nhooks:\n  done: [gone]\n  failed: [gone]\n"
         "recipes: [own]\njob: {backend: skech}\n",
         ["line 1: inboxes.0: ", "line 3: hooks.done: ", "line 4: hooks.failed: ",
          "line 5: recipes: the folder of recipes ", "line 6: job.backend: no backend 'skech' is"]),
    ],
)  # fmt: skip
def test_check_reports_every_mistake_on_a_line_of_its_own(
    file: Path, run: Run, text: str, parts: list[str]
) -> None:
    file.write_text(text)
    ended = run("config", "check", "--config", file)
    assert ended.code == 78 and "hush" not in ended.err
    lines = ended.err.splitlines()
    assert len(lines) == len(parts)
    for line, part in zip(lines, parts, strict=True):
        assert line.startswith("stylewatch: ") and part in line


def test_a_wrong_resource_is_told_with_its_own_place(file: Path, run: Run) -> None:
    file.write_text("executor: {kind: ray, resources: {studio: 1}}\n")
    ended = run("run", "--once", "--config", file, "--set", "executor.resources.GPU=2")
    said = "command line: executor.resources.GPU: set executor.gpus_per_job instead"
    assert (ended.code, ended.err) == (78, f"stylewatch: {said}\n")


def test_show_prints_the_settings_in_force_without_secrets(file: Path, run: Run) -> None:
    file.write_text("watch: {quiet_s: 5}\nalerts: {urls: [json://hushhush]}\n")
    text = run("config", "show", "--config", file, "--set", "steps=7").out
    assert text.startswith(f"# from {file}\n") and "hush" not in text
    file.write_text("watch: {quiet_s: 5}\n")
    shown = file.with_name("shown.yaml")
    shown.write_text(run("config", "show", "--config", file, "--set", "steps=7").out)
    wanted = config.load(file, {"job.steps": 7})
    assert config.load(shown) == wanted.model_copy(update={"overrides": {}})
    assert run("config", "check", "--config", file).out == f"{file} has no mistakes\n"


def test_alerts_are_tested_and_reported_by_number(file: Path, run: Run) -> None:
    with alert_server() as posts:
        file.write_text(f"alerts: {{urls: ['{posts.url}']}}\n")
        ended = run("alerts", "test", "--config", file)
        assert (ended.code, ended.out) == (0, "URL 1 of 1: sent\n")
        assert posts.got[0]["title"] == "stylewatch: test"
        posts.statuses = [500]
        ended = run("alerts", "test", "--config", file)
    assert ended.code == 69 and ended.out.startswith("URL 1 of 1: not sent")
    assert "hush" not in ended.out


def test_the_doctor_prints_a_line_each_and_exits_with_the_first_problem(
    file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("job: {backend: sketch, size: 64, recipe: devos}\n")
    found = [ok("backend sketch", "fine")]
    monkeypatch.setattr(backends, "run", lambda *_, **__: iter(found))
    lines = run("doctor", "--config", file).lines
    assert lines[0] == f"ok       settings: {file} has no mistakes"
    count = sum(line.startswith("ok  ") for line in lines)
    assert lines[-1] == f"ok: {count}, note: {len(lines) - 1 - count}, problem: 0"
    first, *rest = json.loads(run("doctor", "--config", file, "--json").out)
    assert (first["verdict"], first["exit_code"]) == ("ok", 0)
    assert {finding["what"].split()[0] for finding in rest} == {
        "daemon", "inbox", "outbox", "state", "room", "backend", "libraries", "extras",
    }  # fmt: skip
    found[0] = problem("backend sketch", "missing\x1b[31m", 69)
    ended = run("doctor", "--config", file)
    assert ended.code == 69 and "problem  backend sketch: missing?[31m" in ended.out
    file.write_text("watch: {quiet_s: soon}\nlimits: {attemps: 3}\n"
                    "web:\n  listen: 127.0.0.1:1\n  token_file: gone\n")  # fmt: skip
    ended = run("doctor", "--config", file)
    assert ended.code == 78
    assert [line.split(":")[0] for line in ended.lines] == ["problem  settings"] * 3 + ["ok"]
    assert f"{file} line 5: web.token_file: {file.with_name('gone')} cannot be" in ended.lines[2]


OWN = ("mine", "broken", "gone", "pipe", "loop", "long", "bold")


def test_recipes_are_listed_with_the_users_own_and_a_broken_one(file: Path, run: Run) -> None:
    (file.parent / "own").mkdir()
    (file.parent / "own" / "mine.yaml").write_text("extends: best\nabout: Mine.\n")
    (file.parent / "own" / "broken.yaml").write_text("extends: best\nstepps: 3\n")
    (file.parent / "own" / "gone.yaml").symlink_to("/gone")
    os.mkfifo(file.parent / "own" / "pipe.yaml")
    (file.parent / "own" / "loop.yaml").symlink_to("loop.yaml")
    (file.parent / "own" / "long.yaml").write_text(f"extends: {'x' * 300}.yaml\n")
    (file.parent / "own" / "bold.yaml").write_text('extends: best\nabout: "\\e[1mBold"\n')
    file.write_text("recipes: [own]\n")
    lines = dict(line.split(maxsplit=1) for line in run("recipes", "--config", file).lines)
    assert set(lines) == {*book.names(), *OWN}
    assert lines["mine"] == "Mine."
    assert "own/broken.yaml line 2: unknown key 'stepps'" in lines["broken"]
    assert lines["bold"].endswith("bold.yaml line 2: text cannot have the character U+001B")
    assert "loop.yaml cannot be read: Too many" in lines["loop"]
    assert "gone.yaml leads to a file that is not there" in lines["gone"]
    file.write_text(run("recipes", "devos").out)
    assert book.find(str(file)) == book.find("devos")


@pytest.mark.parametrize("is_empty", [True, False])
@pytest.mark.parametrize("recipe", ["best", "mine"])
def test_a_folder_of_recipes_that_is_away_is_named_by_whoever_needs_it(
    file: Path, run: Run, is_empty: bool, recipe: str
) -> None:
    """And by nobody else. An empty folder may be the mount point of a disk that is away."""
    if is_empty:
        (file.parent / "own").mkdir()
    file.write_text(f"recipes: [own]\njob: {{recipe: {recipe}}}\n")
    why = f"the folder of recipes {file.parent / 'own'}"
    why += " is empty" if is_empty else " cannot be listed (No such file or directory)"
    pictures = [file.parent / name for name in ("a.png", "b.png")]
    for picture in pictures:
        Image.new("RGB", (16, 16)).save(picture)
    for command in ("render", "submit"):
        ended = run(command, *pictures, "--config", file)
        assert ended.code == 75 and why in ended.err and ended.err.count("\n") == 1
    assert run("recipes", "--config", file).code == 75
    ended = run("config", "check", "--config", file)
    assert ended.code == 78 and why in ended.err and ended.err.count("\n") == 1
    ended = run("doctor", "--config", file)
    assert ended.code == 78 and f"problem  recipes: {why}" in ended.out
    assert run("config", "show", "--config", file).code == 0
