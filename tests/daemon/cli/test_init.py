"""`stylewatch init`, and commands that find its config.yaml from any folder."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.cli.conftest import Ended, Run, Terminal, files

from stylewatch_daemon.cli import init, service
from stylewatch_daemon.settings import config

Ask = Callable[..., tuple[Ended, str]]
MADE = {"art/inbox", "art/outbox", "art/styles", "state/stylewatch", "config/stylewatch"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, with a pictures folder that is called Bilder."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_PICTURES_DIR", raising=False)
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    (home / "config").mkdir(parents=True)
    (home / "config/user-dirs.dirs").write_text('XDG_PICTURES_DIR="$HOME/Bilder"\n')
    return home


@pytest.fixture
def ask(
    run: Run, home: Path, terminal: Callable[[str], Terminal], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Run `init` on a terminal, on a machine with systemd; return its end and its questions."""
    monkeypatch.setattr(init, "SYSTEMD", home)

    def ask_(answers: str, *options: str) -> tuple[Ended, str]:
        stdin, stderr = terminal("stdin"), terminal("stderr")
        stdin.write(answers)
        stdin.seek(0)
        return run("init", *options), stderr.getvalue()

    return ask_


def folders(home: Path) -> set[str]:
    """The folders below `home` that hold no folder."""
    return {path.relative_to(home).as_posix() for path in home.rglob("*")
            if path.is_dir() and not any(inner.is_dir() for inner in path.iterdir())}  # fmt: skip


def test_all_commands_find_the_config_of_init_from_any_folder(
    home: Path, here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run("init")
    places = ["config  ~/config/stylewatch/config.yaml", "inbox   ~/Bilder/stylewatch/inbox",
              "outbox  ~/Bilder/stylewatch/outbox", "state   ~/state/stylewatch"]  # fmt: skip
    assert (ended.code, ended.err, ended.lines[:4]) == (0, "", places)
    steps = re.findall(r"^  (stylewatch \w+)", ended.out, re.MULTILINE)
    assert steps == ["stylewatch run", "stylewatch submit", "stylewatch status"]
    path = config.user_file()
    path.write_text(
        f"{path.read_text()}watch: {{quiet_s: 0}}\njob: {{backend: sketch, steps: 2}}\n"
    )
    assert run("submit", "content.jpg", "style.jpg", "--name", "sea").out == "sea\n"
    monkeypatch.chdir(home / "Bilder")
    assert run("run", "--once").code == 0
    assert (home / "Bilder/stylewatch/outbox/sea/receipt.json").exists()
    ended = run("status")
    assert (ended.code, ended.lines[:4]) == (3, places) and ", 1 done, " in ended.out
    assert run("show", "sea").code == 0
    monkeypatch.chdir(here)
    (here / "config.yaml").write_text("state: {path: mine}\n")
    assert run("show", "sea").code == 64
    assert run("show", "sea", "--config", path).code == 0


def test_every_key_of_the_written_config_is_valid_also_those_in_comments(
    home: Path, run: Run
) -> None:
    assert run("init", "--pictures", "~/a: b #{c}").code == 0
    loaded = config.load()
    assert loaded.inboxes[0].path == home / "a: b #{c}/inbox"
    assert loaded.pairing.styles == home / "a: b #{c}/styles"
    text = config.user_file().read_text()
    full, count = re.subn(r"^# ?(( {2})*\w+:)", r"\1", text, flags=re.MULTILINE)
    assert count == 6
    config.user_file().write_text(full)
    loaded = config.load()
    assert (loaded.inboxes[0].after, loaded.job.size, loaded.pairing.default_style) == (
        "keep", "1024", "all"
    )  # fmt: skip
    assert loaded.web.listen is not None


def test_folders_that_exist_are_used_and_a_config_that_exists_is_kept(home: Path, run: Run) -> None:
    (home / "art/inbox/sea").mkdir(parents=True)
    assert run("init", "--pictures", home / "art").code == 0
    assert folders(home) == {*MADE - {"art/inbox"}, "art/inbox/sea"}
    config.user_file().write_text("mine")
    ended = run("init", "--pictures", home / "other", "--yes")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (73, "", 1)
    assert f"{config.user_file()} is already there, and is never replaced" in ended.err
    assert config.user_file().read_text() == "mine" and not (home / "other").exists()


@pytest.mark.parametrize("place", ["art", "art/outbox", "state", "config/stylewatch"])
def test_a_file_in_place_of_a_folder_is_reported_and_no_config_written(
    place: str, home: Path, run: Run
) -> None:
    (home / place).parent.mkdir(exist_ok=True)
    (home / place).touch()
    ended = run("init", "--pictures", home / "art")
    assert (ended.code, len(ended.err.splitlines())) == (73, 1)
    assert f"{home / place}" in ended.err and "cannot be written: " in ended.err
    assert not config.user_file().exists()


def test_a_place_that_cannot_be_used_is_reported_and_no_config_written(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, _: path.name != "outbox")
        ended = run("init", "--yes")
    assert ended.code == 73 and "outbox cannot be written: change its permissions" in ended.err
    for folder in ("a\nb", "~nobody-of-this-name/a", "a" * 300):
        ended = run("init", "--pictures", folder)
        assert (ended.code, len(ended.err.splitlines())) == (64, 1)
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "art/inbox"))
    ended = run("init", "--pictures", home / "art")
    assert ended.code == 78 and "lies in the inbox" in ended.err
    assert not config.user_file().exists()


def test_the_state_has_a_folder_of_its_own_where_the_system_has_one_for_all(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "config"))
    assert run("init", "--yes").code == 0
    assert config.load().state.path == home / "config/stylewatch/state"


@pytest.mark.parametrize(
    ("answers", "options", "inbox", "has_unit"),
    [
        ("\n\n\n", [], "Bilder/stylewatch/inbox", False),
        ("~/art\ny\nn\n", [], "art/inbox", True),
        ("", ["--yes"], "Bilder/stylewatch/inbox", False),
        ("", ["--service"], "Bilder/stylewatch/inbox", True),
    ],
)
def test_a_terminal_is_asked_unless_there_is_an_option(
    answers: str, options: list[str], inbox: str, has_unit: bool, home: Path, ask: Ask
) -> None:
    ended, asked = ask(answers, *options)
    assert ended.code == 0 and (home / inbox).is_dir()
    folder = "Folder for inbox and outbox [~/Bilder/stylewatch]"
    questions = [folder, "[y/N]", "[Y/n]"] if answers else []
    assert [text.strip() for text in re.findall(r"[^?\n:]*\[.*?\]", asked)] == questions
    unit = "config/systemd/user/stylewatch.service"
    assert (unit in files(home)) == has_unit
    first = "systemctl --user enable --now stylewatch" if has_unit else "stylewatch run "
    assert f"next:\n\n  {first}" in ended.out
    assert (config.load().web.listen == service.PAGE) == ("n\n" not in answers)
    assert ("  http://127.0.0.1:8787/ " in ended.out) == ("n\n" not in answers)


def test_the_page_is_offered_as_its_packages_allow(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "has_page_packages", lambda: False)
    ended = run("init", "--page")
    assert ended.code == 69 and "stylewatch[web]" in ended.err
    ended = run("init", "--yes")
    assert ended.code == 0 and "stylewatch[web]" in ended.out
    assert config.load().web.listen is None


def test_no_answer_makes_nothing(home: Path, ask: Ask) -> None:
    before = sorted(home.rglob("*"))
    ended, _ = ask("")
    assert ended.code == 130
    assert sorted(home.rglob("*")) == before


def test_a_unit_that_differs_is_kept(home: Path, run: Run) -> None:
    unit = home / "config/systemd/user/stylewatch.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("mine\n")
    ended = run("init", "--service")
    assert ended.code == 73 and "`service install` with --force replaces it" in ended.err
    assert unit.read_text() == "mine\n" and config.user_file().exists()
