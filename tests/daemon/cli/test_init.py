"""`stylewatch init` and `sample`, and commands that find the config.yaml from any folder."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.cli.conftest import Ended, Run, Terminal, files

from stylewatch_daemon.cli import init, service
from stylewatch_daemon.doctor import addresses
from stylewatch_daemon.settings import config
from stylewatch_painter.images.read import read
from stylewatch_painter.sample import shipped_styles

Ask = Callable[..., tuple[Ended, str]]
Patch = pytest.MonkeyPatch
UNIT = "config/systemd/user/stylewatch.service"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: Patch) -> Path:
    """The home folder, with a pictures folder that is called Bilder."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(addresses, "interfaces", lambda: [])
    monkeypatch.delenv("XDG_PICTURES_DIR", raising=False)
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    (home / "config").mkdir(parents=True)
    (home / "config/user-dirs.dirs").write_text('XDG_PICTURES_DIR="$HOME/Bilder"\n')
    return home


@pytest.fixture
def ask(run: Run, home: Path, terminal: Callable[[str], Terminal], monkeypatch: Patch) -> Ask:
    """Run `init` on a terminal, on a machine with systemd; return its end and its questions."""
    monkeypatch.setattr(init, "SYSTEMD", home)

    def ask_(answers: str, *options: str) -> tuple[Ended, str]:
        stdin, stderr = terminal("stdin"), terminal("stderr")
        stdin.write(answers)
        stdin.seek(0)
        return run("init", *options), stderr.getvalue()

    return ask_


def test_all_commands_find_the_config_of_init_from_any_folder(
    home: Path, here: Path, run: Run, monkeypatch: Patch
) -> None:
    ended = run("init")
    places = ["config  ~/config/stylewatch/config.yaml", "inbox   ~/Bilder/stylewatch/inbox",
              "outbox  ~/Bilder/stylewatch/outbox", "state   ~/state/stylewatch"]  # fmt: skip
    assert (ended.code, ended.err, ended.lines[:4]) == (0, "", places)
    assert (home / "state/stylewatch").stat().st_mode & 0o777 == 0o700
    path = config.user_file()
    text = path.read_text()
    path.write_text(f"{text}watch: {{quiet_s: 0}}\njob: {{backend: sketch, steps: 2}}\n")
    assert run("submit", "content.jpg", "style.jpg", "--name", "sea").out == "sea\n"
    monkeypatch.chdir(home / "Bilder")
    assert run("run", "--once").code == 0
    assert (home / "Bilder/stylewatch/outbox/sea/receipt.json").exists()
    ended = run("status")
    assert (ended.code, ended.lines[:4]) == (3, places) and ", 1 done, " in ended.out
    monkeypatch.chdir(here)
    (here / "config.yaml").write_text("state: {path: mine}\n")
    assert [run("show", "sea", *more).code for more in ((), ("--config", path))] == [64, 0]
    ended = run("init", "--pictures", home / "other", "--yes")
    assert ended.code == 73 and "is already there, and is never replaced" in ended.err
    assert not (home / "other").exists()


def test_every_key_of_the_written_config_is_valid_also_those_in_comments(
    home: Path, run: Run, monkeypatch: Patch
) -> None:
    (home / "a: b #{c}/inbox/sea").mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "config"))
    assert run("init", "--pictures", "~/a: b #{c}").code == 0
    loaded = config.load()
    assert loaded.inboxes[0].path == home / "a: b #{c}/inbox"
    assert loaded.pairing.styles == home / "a: b #{c}/styles"
    assert loaded.state.path == home / "config/stylewatch/state", "one of its own"
    text = config.user_file().read_text()
    full, count = re.subn(r"^# ?(( {2})*\w+:)", r"\1", text, flags=re.MULTILINE)
    assert count == 6
    config.user_file().write_text(full)
    loaded = config.load()
    chosen = (loaded.inboxes[0].after, loaded.job.size, loaded.pairing.default_style)
    assert chosen == ("keep", "1024", "all") and loaded.web.listen == service.PAGE


def test_packages_that_are_there_are_not_to_be_installed(run: Run, monkeypatch: Patch) -> None:
    assert "pip install" not in run("init", "--no-page").out
    config.user_file().unlink()
    monkeypatch.setattr(config, "has_page_packages", lambda: False)
    assert "pip install" in run("init").out


@pytest.mark.parametrize(
    ("words", "blocked", "code", "sentence"),
    [
        ("init --pictures art", "art/outbox", 73, "cannot be written: "),
        ("init --pictures art", "config/stylewatch", 73, "cannot be written: "),
        ("init --pictures ~nobody-of-this-name/a", "file", 64, ""),
        ("init --pictures state/..", "file", 78, "lies in the inbox"),
        ("init --service", f"{UNIT}/folder", 73, "stylewatch.service cannot be written: "),
        ("service install --user", f"{UNIT}/folder", 73, "stylewatch.service cannot be written: "),
    ],
)
def test_where_something_cannot_be_written_no_config_is(
    words: str, blocked: str, code: int, sentence: str, home: Path, run: Run
) -> None:
    (home / blocked).parent.mkdir(parents=True, exist_ok=True)
    (home / blocked).touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        if code == 78:
            patch.setenv("XDG_STATE_HOME", str(home / "inbox"))
        ended = run(*words.split())
    assert (ended.code, len(ended.err.splitlines())) == (code, 1) and sentence in ended.err
    assert not config.user_file().exists()


@pytest.mark.parametrize(
    ("answers", "options", "inbox", "has_unit"),
    [
        ("\n\n\n", [], "Bilder/stylewatch/inbox", False),
        ("~/art\ny\nn\n", [], "art/inbox", True),
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
    assert (UNIT in files(home)) == has_unit
    first = "systemctl --user enable --now stylewatch" if has_unit else "stylewatch run "
    assert f"next:\n\n  {first}" in ended.out
    assert (config.load().web.listen == service.PAGE) == ("n\n" not in answers)
    assert ("  http://127.0.0.1:8787/ " in ended.out) == ("n\n" not in answers)


def test_without_an_answer_or_packages_nothing_is_made(
    home: Path, run: Run, ask: Ask, monkeypatch: Patch
) -> None:
    before = sorted(home.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(config, "has_page_packages", lambda: False)
        ended = run("init", "--page")
        assert ended.code == 69 and "stylewatch[web]" in ended.err
    assert ask("")[0].code == 130
    assert sorted(home.rglob("*")) == before


ONE = [("lo", "127.0.0.1"), ("eth0", "192.168.1.7"), ("docker0", "172.17.0.1")]
TWO = [*ONE, ("eth1", "10.0.0.7")]


@pytest.mark.parametrize(
    ("words", "table", "listen", "sentence"),
    [
        ("--phone", ONE, "192.168.1.7:8787", "nothing is encrypted: everybody in this network"),
        ("--address 10.0.0.7", TWO, "10.0.0.7:8787", "ufw allow proto tcp to 10.0.0.7 port 8787"),
        ("--phone", [("eth0", "fd12::7")], "[fd12::7]:8787", "firewall-cmd --permanent"),
        ("--phone", TWO, None, "choose one of its addresses by --address: 192.168.1.7, 10.0.0.7"),
        ("--phone", [("eth0", "203.0.113.9")], None, "has none; on a public one everybody could"),
        *((f"--address {ip}", TWO, None, "unless a proxy with TLS is in front")
          for ip in ("203.0.113.9", "0.0.0.0", "172.17.0.1", "here")),
        ("--phone --no-page", ONE, None, "leave out --no-page"),
        ("--yes", ONE, "127.0.0.1:8787", ""),
        ("ask: \n\n\n\n", TWO, "127.0.0.1:8787", "local network reach the page? [y/N"),
        ("ask: \n\n\ny\n10.0.0.7\n", TWO, "10.0.0.7:8787", "or 10.0.0.7 [192.168.1.7]"),
        ("ask: \n\n\ny\n", ONE, "192.168.1.7:8787", "nothing is encrypted"),
    ],
)  # fmt: skip
def test_phones_get_one_private_address_and_the_page_a_token(
    words: str, table: list[tuple[str, str]], listen: str | None, sentence: str, ask: Ask,
    monkeypatch: Patch,
) -> None:  # fmt: skip
    monkeypatch.setattr(addresses, "interfaces", lambda: table)
    monkeypatch.setattr(addresses, "is_physical", lambda name: name.startswith("eth"))
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr("shutil.which", lambda name, path="": "/usr/sbin" in path)
    options, _, answers = words.partition("ask: ")
    ended, asked = ask(answers, *options.split())
    assert sentence in asked
    token = config.user_file().with_name("token")
    if listen is None:
        assert (ended.code, token.exists(), config.user_file().exists()) == (64, False, False)
        return
    page = config.web_page(config.load())
    assert ended.code == 0 and page is not None and str(page.address) == listen
    assert f"http://{listen}/" in ended.out
    assert ("each browser needs a code, or the token in" in ended.out) == token.exists()
    assert ("stylewatch phone" in ended.out) == token.exists() == (page.token is not None)
    if page.token is not None:
        secret = page.token.get_secret_value()
        assert token.stat().st_mode & 0o777 == 0o600 and len(secret) == 43
        assert secret not in ended.out + asked


def test_the_style_library_is_filled_and_what_is_there_stays(home: Path, run: Run) -> None:
    library = home / "Bilder/stylewatch/styles"
    library.mkdir(parents=True)
    (library / "mosaic.png").write_bytes(b"mine")
    (library / "Impasto.txt").write_text("a note")
    assert run("init").code == 0
    titles = {*shipped_styles()} - {"Mosaic"}
    assert {path.stem for path in library.iterdir()} == titles | {"mosaic"}
    assert (library / "mosaic.png").read_bytes() == b"mine"
    scream = shipped_styles()["The Scream"]
    assert (library / "The Scream.jpg").read_bytes() == scream.path.read_bytes()
    text = (library / "The Scream.txt").read_text()
    assert text == "Edvard Munch (1863-1944), 1893\n"


def test_sample_writes_a_pair_and_replaces_no_other_picture(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "inbox/rocket"
    for _ in range(2):  # the second time the same files are there
        ended = run("sample", folder)
        assert ended.lines == [f"{folder}/content.jpg", f"{folder}/style.jpg"]
    assert read(folder / "content.jpg").size == (640, 427)
    (folder / "style.jpg").write_bytes(b"mine")
    ended = run("sample", folder)
    assert ended.code == 73 and "style.jpg is another picture, and is not replaced" in ended.err
    assert (folder / "style.jpg").read_bytes() == b"mine"
