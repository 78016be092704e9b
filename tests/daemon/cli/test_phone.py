"""`stylewatch phone` makes a code for a page that runs, and says what is missing otherwise."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.cli.conftest import Run, Terminal

from stylewatch_daemon.client import status_json
from stylewatch_daemon.doctor import addresses
from stylewatch_daemon.web.codes import Codes


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(addresses, "interfaces", lambda: [("eth0", "192.168.1.7")])
    monkeypatch.setattr(addresses, "is_physical", lambda name: True)
    monkeypatch.setattr(status_json, "is_at_work", lambda state: True)
    (tmp_path / "state").mkdir()
    (tmp_path / "token").write_text("x" * 16)
    (tmp_path / "token").chmod(0o600)
    path = tmp_path / "config.yaml"
    path.write_text("state: {path: state}\nweb: {listen: 0.0.0.0:8787, token_file: token}\n")
    return path


def test_the_code_is_printed_with_its_address_and_drawn(
    config: Path, run: Run, terminal: type[Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run("phone", "--config", config)
    assert ended.code == 0 and len(ended.lines[0]) == 37 and "▀" in ended.out
    assert "open http://192.168.1.7:8787/pair there" in ended.out and "\x1b" not in ended.out
    assert "nothing is encrypted" in ended.err
    (code,) = re.findall(r"\w{4}-\w{4}$", ended.out, re.MULTILINE)
    Codes(config.parent / "state", SecretStr("x" * 16)).take(code)
    stdout = terminal("stdout")
    run("phone", "--config", config)
    assert stdout.getvalue().startswith("\x1b[97;40m█"), "in the colors that cameras expect"
    stdout = terminal("stdout")
    monkeypatch.setattr(Terminal, "encoding", "latin-1")
    run("phone", "--config", config)
    assert stdout.getvalue().partition("\n\n")[0].isascii()


def test_what_keeps_phones_away_is_said(
    config: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_json, "is_at_work", lambda state: False)
    ended = run("phone", "--config", config)
    assert ended.code == 69 and "not served: `stylewatch run --config" in ended.err
    config.write_text(
        "state: {path: state}\nweb: {listen: 127.0.0.1:80, url: 'https://a.example'}\n"
    )
    ended = run("phone", "--config", config)
    assert ended.code == 78 and "asks nobody for a code" in ended.err
    assert not [*(config.parent / "state").iterdir()]
