"""The service starts anew with settings that are right, and goes back if they are not (law 15)."""

import os
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.clock import Clock
from tests.daemon.world import LanesNow

from stylewatch_daemon.app import daemon, restart
from stylewatch_daemon.app.hooks import LeftHook
from stylewatch_daemon.app.restart import Handover
from stylewatch_daemon.app.service import Service
from stylewatch_daemon.app.settings_file import (
    COPY,
    EARLIER,
    LOOK_EVERY,
    Loaded,
    SettingsFile,
    check,
    loaded,
    rehearsed,
    secret_versions,
    version_of,
)
from stylewatch_daemon.base.errors import DamagedError, OutputError
from stylewatch_daemon.base.wakeup import release_signals
from stylewatch_daemon.cli.run import reporting
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import ServiceSettings, Start

FILE = "state: {path: state}\njob: {steps: 9}\nwatch: {quiet_s: 3}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(FILE)
    (tmp_path / "state").mkdir()
    return tmp_path


class Edited:
    """The file of the settings of a daemon, which is edited while that runs."""

    def __init__(self, root: Path) -> None:
        self.path, self.state, self.clock = root / "config.yaml", root / "state", Clock()
        now = self.now()
        versions = version_of(self.path), *secret_versions(now.settings)
        self.file = SettingsFile(self.path, self.load, now, versions, clock=self.clock)

    def load(self, content: bytes) -> ServiceSettings:
        return config.load(self.path, content=content)

    def now(self) -> Loaded:
        content = self.path.read_bytes()
        return loaded(content, self.load(content))

    def has_changed(self) -> bool:
        """Let the time of the next look come; return whether the file is read then."""
        self.clock.now += LOOK_EVERY
        self.file.follow(LanesNow(lambda call: call()))
        return self.file.is_read

    def accept(self, *, is_asked: bool = False) -> bool:
        """Return whether the daemon would start anew with what was read, or is read if asked."""
        if is_asked:
            self.file.ask()
            self.file.follow(LanesNow(lambda call: call()))
        return self.file.accept()

    def edit(self, text: str) -> bool:
        """Write the file; return whether the daemon looks at it once it has not changed again."""
        self.path.write_text(text)
        is_early = self.has_changed()
        return self.has_changed() and not is_early

    def copies(self) -> list[str]:
        return [(self.state / name).read_text() for name in (COPY, EARLIER)]


def test_what_a_second_look_no_longer_finds_is_no_mistake(here: Path) -> None:
    check(config.load(here / "config.yaml"), [lambda settings: ["it was away for a moment"]])


def test_settings_count_once_they_are_unchanged_for_a_while_and_mean_something_else(
    here: Path,
) -> None:
    edited = Edited(here)
    assert not edited.has_changed()
    assert edited.edit(f"{FILE}# a comment\n")
    assert not edited.accept() and not edited.has_changed()
    assert edited.edit(FILE.replace("9", "7"))
    assert edited.accept()
    assert edited.copies() == [FILE.replace("9", "7"), FILE]
    assert edited.edit(FILE) and edited.accept(is_asked=True), "as for SIGHUP"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("job: {steps", "config.yaml line"),
        ("jobb: {}", "jobb"),
        (
            "web: {listen: '127.0.0.1:1', token_file: gone}",
            r"config\.yaml line 1: web\.token_file: .*gone cannot be read",
        ),
        ("state: {path: other}", "state.path cannot be changed from .* stop it and start it"),
        (f"{FILE}executor: {{kind: ray, address: 'ray://x:1'}}", "executor.kind cannot be changed"),
        ("hooks: {done: [no-such-program]}", "no-such-program"),
        ("", "is empty, as when a save fails"),
        ("\ufeff# all is commented out\n---\n", "is empty, as when a save fails"),
    ],
)
def test_wrong_settings_change_nothing_and_the_status_says_why(
    text: str, told: str, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edited = Edited(here)
    assert edited.edit(text)
    for _ in range(2):
        assert not edited.accept(is_asked=True)
    assert re.search(told, edited.file.trouble)
    assert caplog.text.count("continues with the earlier settings") == 1, "it is logged once"
    assert not (edited.state / COPY).exists()
    assert edited.edit(FILE) and not edited.accept()
    assert edited.file.trouble == ""


def test_settings_that_have_to_wait_are_those_that_the_file_has_in_the_end(here: Path) -> None:
    edited = Edited(here)
    assert edited.edit(FILE.replace("9", "7"))
    edited.file.wait("a folder does not answer")
    assert not edited.file.is_read and edited.file.trouble
    assert edited.edit(FILE), "it was a mistake"
    assert not edited.accept() and edited.file.trouble == ""
    edited.file.ask()
    assert edited.has_changed()
    edited.file.wait("a folder does not answer")
    assert edited.has_changed() and edited.accept(), "a signal is not forgotten"


def test_a_file_of_comments_alone_can_be_read_again(here: Path) -> None:
    (here / "config.yaml").write_text("# all is on the command line\n")
    edited = Edited(here)
    assert edited.accept(is_asked=True) and edited.file.trouble == ""


def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(here: Path) -> None:
    edited = Edited(here)
    edited.path.unlink()
    os.mkfifo(edited.path)
    assert not edited.accept(is_asked=True)
    assert "config.yaml is a pipe or a device" in edited.file.trouble


def test_a_disk_that_fails_is_asked_again(here: Path) -> None:
    edited = Edited(here)
    (edited.state / COPY).mkdir()
    assert edited.edit(FILE.replace("9", "7")) and not edited.accept()
    assert "cannot be taken now" in edited.file.trouble and edited.has_changed()
    (edited.state / COPY).rmdir()
    assert edited.accept()


def test_a_change_of_the_token_counts_although_the_settings_are_the_same(here: Path) -> None:
    token = here / "token"
    token.write_text("x" * 32)
    token.chmod(0o600)
    (here / "config.yaml").write_text(f"{FILE}web: {{listen: '127.0.0.1:1', token_file: token}}\n")
    edited = Edited(here)
    before = token.stat()
    token.write_text("y" * 32)
    os.utime(token, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not edited.has_changed()
    assert edited.has_changed() and edited.accept()


# -- the service


class BegunError(Exception):
    """The process was replaced by another one."""


class Process:
    """A process that becomes another one: `watch` does what each of its daemons does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *daemons: Callable[..., Any]) -> None:
        self.handovers, self.steps = list[Handover](), list[int]()
        self._daemons, self._environment = [*daemons], dict[str, str]()
        self._patch = monkeypatch
        monkeypatch.setattr(daemon, "watch", self._watch)
        monkeypatch.setattr(os, "execve", self._execve)

    def _watch(self, settings: ServiceSettings, reporter: Any, **more: Any) -> Handover | None:
        self.steps.append(settings.job.steps or 0)
        self.handovers.append(more["received"])
        result = self._daemons.pop(0)(more)
        return result if isinstance(result, Handover) else None

    def _execve(self, program: str, words: list[str], environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        raise BegunError

    def run(self) -> None:
        """Run the daemons until one ends for good."""
        while True:
            for name, value in self._environment.items():
                self._patch.setenv(name, value)
            try:
                Service(Start(overrides={"web.listen": None}), reporting, quiet=False).watch()
                return
            except BegunError:
                continue
            finally:
                release_signals()


def reload(more: dict[str, Any]) -> Handover:
    """Let a daemon edit its settings, and stop in order to start anew with them."""
    more["at_work"]()
    file: SettingsFile = more["file"]
    file.path.write_text(FILE.replace("9", "7"))
    file._take(file.read())
    assert file.accept(), "nobody asks for it"
    return Handover(os.getpid(), os.dup(2), mounts=(Path("/mnt"),))


def fail(more: dict[str, Any]) -> None:
    raise OutputError("the inbox cannot be written")


def stop(more: dict[str, Any]) -> None:
    more["at_work"]()


def test_a_daemon_starts_anew_with_the_copy_of_what_was_checked(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first(more: dict[str, Any]) -> Handover | None:
        assert more["file"].look() == more["file"].versions
        monkeypatch.setattr(config, "find", lambda: here / "somebody's.yaml")
        handover = reload(more)
        (here / "config.yaml").write_text("job: {steps")
        return handover

    def edited_meanwhile(more: dict[str, Any]) -> None:
        stop(more)
        assert more["file"].versions == process.handovers[1].versions
        assert more["file"].look() != more["file"].versions

    process = Process(monkeypatch, first, edited_meanwhile)
    process.run()
    assert process.steps == [9, 7]
    earlier, later = process.handovers
    assert not earlier.is_restart and later.is_restart and later.mounts == (Path("/mnt"),)
    assert later.file == here / "config.yaml", "no other file is searched for"
    assert restart.VARIABLE not in os.environ, "children do not inherit it"


def test_no_edit_is_missed_during_a_start(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*args: Any, **more: Any) -> ServiceSettings:
        """The file is edited just after it was read."""
        settings = real(*args, **more)
        (here / "config.yaml").write_text(f"{FILE}# later\n")
        return settings

    def edited(more: dict[str, Any]) -> None:
        stop(more)
        assert more["file"].versions != more["file"].look()

    real = config.read
    monkeypatch.setattr(config, "read", load)
    Process(monkeypatch, edited).run()


def test_settings_with_which_the_daemon_cannot_begin_are_given_up_once(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def third(more: dict[str, Any]) -> None:
        stop(more)
        file = more["file"]
        assert "the inbox cannot be written" in file.trouble and file.look() == file.versions

    process = Process(monkeypatch, reload, fail, third)
    process.run()
    assert process.steps == [9, 7, 9]
    assert "the inbox cannot be written" in capsys.readouterr().err
    (here / "config.yaml").write_text(FILE)
    process = Process(monkeypatch, reload, fail, fail)
    with pytest.raises(OutputError):
        process.run()
    assert process.steps == [9, 7, 9], "not for ever"


def test_an_error_long_after_a_restart_is_not_taken_for_one_of_the_settings(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def second(more: dict[str, Any]) -> None:
        stop(more)
        raise DamagedError("the ledger is damaged")

    process = Process(monkeypatch, reload, second)
    with pytest.raises(DamagedError):
        process.run()
    assert "earlier settings" not in capsys.readouterr().err


def test_a_copy_that_is_refused_by_a_newer_program_is_given_up(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first(more: dict[str, Any]) -> Handover | None:
        handover = reload(more)
        (here / "state" / COPY).write_text("jobb: {}")  # as if its program knew another key
        return handover

    process = Process(monkeypatch, first, stop)
    process.run()
    assert process.steps == [9, 9]


@pytest.mark.parametrize("left", ["no json", '{"pid": 1, "lock": 3}', '{"pid": "x"}', "[]"])
def test_a_variable_that_another_process_has_left_hands_nothing_over(left: str) -> None:
    environment = {restart.VARIABLE: left}
    assert restart.received(environment) == Handover() and not environment


def test_what_is_handed_over_arrives_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch)
    handover = Handover(
        pid=os.getpid(),
        lock=os.dup(2),
        terminals=(0, 2),
        mounts=(Path("/media/p\udcf6"),),
        hook=LeftHook(3, "done", "sea", 77, 1.5, os.dup(2)),
        settings=Path("/state/settings.yaml"),
        versions=((1, 2, 3, 4), None),
        problem="why",
    )
    with pytest.raises(BegunError):
        restart.begin_anew(handover, {"HOME": "/root"})
    assert process._environment["HOME"] == "/root"
    assert restart.received(process._environment) == handover
    assert handover.lock is not None and not os.get_inheritable(handover.lock)
    os.close(handover.lock)


def test_a_new_process_could_not_begin_with_the_ledger_of_a_newer_program(here: Path) -> None:
    path = here / "config.yaml"
    ledger = StateDir(here / "state").ledger
    LedgerWriter.open(ledger).close()
    assert rehearsed(Start(), path, path.read_bytes()) == ""
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA user_version = 1000")
    assert "was written by a newer stylewatch" in rehearsed(Start(), path, path.read_bytes())
