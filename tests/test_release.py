"""`make release`: what it refuses, what it leaves when a step fails, what it makes.

The clone is a small one; the packages and the lock are made of nothing.
"""

import os
import re
import signal
import sys
import tarfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests import dist, release

PROJECT = """\
[project]
version = "0.1.0"

[project.urls]
Source = "https://example.org/stylewatch"
"""
CHANGELOG = """\
# Changelog

## 0.2.0 (not released yet)

It paints.

### More

It runs.

## 0.1.0 (2026-01-02)

The first version.
"""
NOTES = "It paints.\n\n### More\n\nIt runs.\n"


class Clone:
    """A clone with the release v0.1.0, and files of an earlier build in dist/."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet")
        for name, text in (("pyproject.toml", PROJECT), ("CHANGELOG.md", CHANGELOG),
                           (".gitignore", "build/\ndist/\n"), ("code.py", "")):  # fmt: skip
            (root / name).write_text(text, encoding="utf-8")
        self.commit("Begin")
        self.git("tag", "v0.1.0")
        self.git("tag", "vendor")
        (root / "dist").mkdir()
        (root / "dist/earlier.whl").write_text("earlier")
        (root / ".git/hooks").mkdir(exist_ok=True)

    def git(self, *words: str) -> str:
        return release.output("git", *words)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def write(self, name: str, text: str) -> None:
        """Write a file, and commit it."""
        (self.root / name).write_text(text, encoding="utf-8")
        self.commit(f"Write {name}")

    def hook(self, name: str, text: str) -> None:
        """Have git run a script at an event."""
        path = self.root / ".git/hooks" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def state(self) -> object:
        """What a release changes: commit, branch, tags, index, files."""
        files = {
            path.relative_to(self.root): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and ".git" not in path.relative_to(self.root).parts
        }
        trees = self.git("worktree", "list", "--porcelain")
        return self.git("show-ref", "--head"), self.git("status", "--porcelain"), trees, files


def packages(
    tree: Path, folder: Path, in_source: Sequence[str] = release.CONTAINER
) -> tuple[list[Path], Path]:
    """Return a wheel, and a source distribution with empty files, by default of the container."""
    folder.mkdir(parents=True)
    wheel, source = folder / "stylewatch.whl", folder / "stylewatch.tar.gz"
    wheel.write_text("\n".join(sorted(path.name for path in tree.iterdir())), encoding="utf-8")
    with tarfile.open(source, "w:gz") as archive:
        for name in in_source:
            archive.addfile(tarfile.TarInfo(f"stylewatch/{name}"))
    return [wheel], source


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    root = tmp_path / "clone"
    root.mkdir()
    monkeypatch.setattr(release, "ROOT", root)
    monkeypatch.setattr(dist, "ROOT", root)
    monkeypatch.setattr(release, "DIST", root / "dist")
    monkeypatch.setattr(release, "build_and_check", packages)
    monkeypatch.setattr(release, "write_lock", lambda tree, path: path.write_text("lock"))
    return Clone(root)


def make(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Make a release as the command line does."""
    monkeypatch.setattr(sys, "argv", ["release", version])
    release.main()


# -- what is refused

REFUSED = {
    "another version": ("9.9.9", None, None, '9.9.9 (not released yet)", and has 0.2.0'),
    "an earlier version": ("0.0.9", None, None, "there is a release 0.1.0"),
    "the same version": ("0.1.0", None, None, "there is a release 0.1.0"),
    "a candidate of a released version": ("0.1.0rc1", None, None, "there is a release 0.1.0"),
    "leading zeros": ("00.2.0", None, None, "is written as"),
    "a candidate with a zero": ("0.2.0rc01", None, None, "is written as"),
    "other digits": ("0.\uff12.0", None, None, "is written as"),
    "two numbers": ("0.2", None, None, "is written as"),
    "an epoch": ("1!0.2.0", None, None, "is written as"),
    "a file that is not committed": ("0.2.0", "new.py", "", "commit these first"),
    "a change that is not committed": ("0.2.0", "code.py", "x", "commit these first"),
}
"""For each reason a version, a file with a text that is not committed, and part of the sentence."""


@pytest.mark.parametrize("reason", REFUSED)
def test_a_release_is_refused(reason: str, clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    version, name, text, sentence = REFUSED[reason]
    if name is not None and text is not None:
        (clone.root / name).write_text(text)
    is_refused(clone, version, sentence, monkeypatch)


SECTIONS = "## 0.3.0 (not released yet)\n\nLater.\n\n" + CHANGELOG.partition("\n\n")[2]
INCOMPLETE = {
    "an empty section": (
        "CHANGELOG.md", CHANGELOG.replace(NOTES, ""), "says nothing about 0.2.0"),
    "an empty section at the end": (
        "CHANGELOG.md", "## 0.2.0 (not released yet)", "says nothing about 0.2.0"),
    "no open heading": (
        "CHANGELOG.md", CHANGELOG.replace(release.OPEN, "(2026-01-03)"), "and has none"),
    "two open headings": ("CHANGELOG.md", SECTIONS, "and has 0.3.0, 0.2.0"),
    "no address": ("pyproject.toml", PROJECT.replace("Source", "# Source"), "fill in Source"),
    "an empty address": (
        "pyproject.toml", PROJECT.replace("https://example.org/stylewatch", ""), "fill in Source"),
}  # fmt: skip
"""For each reason a file with the text that it has, and part of the sentence."""


@pytest.mark.parametrize("reason", INCOMPLETE)
def test_an_incomplete_project_is_refused(
    reason: str, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, text, sentence = INCOMPLETE[reason]
    clone.write(name, text)
    is_refused(clone, "0.2.0", sentence, monkeypatch)


def is_refused(clone: Clone, version: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = clone.state()
    with pytest.raises(SystemExit) as raised:
        make(monkeypatch, version)
    assert sentence in str(raised.value)
    assert clone.state() == before


# -- what leaves nothing

Arrangement = Callable[[Clone, pytest.MonkeyPatch], object]


def fail(*_: object) -> None:
    sys.exit("it fails")


def replaced(name: str, function: Callable[..., object]) -> Arrangement:
    return lambda _, monkeypatch: monkeypatch.setattr(release, name, function)


def hooked(event: str, command: str) -> Arrangement:
    return lambda clone, _: clone.hook(event, command)


def signaled(number: int) -> Arrangement:
    return replaced("write_lock", lambda tree, path: os.kill(os.getpid(), number))


def sign_without_a_key(clone: Clone, _: pytest.MonkeyPatch) -> None:
    clone.git("config", "tag.gpgsign", "true")
    clone.git("config", "gpg.program", "false")


def not_renamed(name: str) -> Arrangement:
    """Let a folder of that name not get another."""

    def arrange(_: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
        todo = [fail]

        def rename(path: Path, target: Path, real: Callable[..., Path] = Path.rename) -> Path:
            if path.name == name and todo:
                todo.pop()()
            return real(path, target)

        monkeypatch.setattr(Path, "rename", rename)

    return arrange


FAILING: dict[str, Arrangement] = {
    "no version": lambda clone, _: clone.write(
        "pyproject.toml", PROJECT.replace("version = ", "version=")),
    "the packages": replaced("build_and_check", fail),
    "the source distribution": replaced(
        "build_and_check", lambda tree, path: packages(tree, path, ["code"])),
    "the lock": replaced("write_lock", fail),
    "the digests": replaced("write_digests", fail),
    "the commit": hooked("pre-commit", "exit 1"),
    "a commit with other files than the checkout": hooked("pre-commit", "echo mine >code.py"),
    "SIGINT": signaled(signal.SIGINT),
    "SIGTERM": signaled(signal.SIGTERM),
    "SIGHUP": signaled(signal.SIGHUP),
    "the tag": sign_without_a_key,
    "moving dist/ away": not_renamed("dist"),
    "moving the files to dist/": not_renamed("files"),
}  # fmt: skip
"""For each step, what makes it fail."""


@pytest.mark.parametrize("step", FAILING)
@pytest.mark.usefixtures("hears_signals")
def test_a_release_that_fails_leaves_nothing(
    step: str, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    FAILING[step](clone, monkeypatch)
    before = clone.state()
    handlers = [signal.getsignal(number) for number in dist.ENDING]
    with pytest.raises(SystemExit):
        make(monkeypatch, "0.2.0")
    assert clone.state() == before
    assert [signal.getsignal(number) for number in dist.ENDING] == handlers


def test_a_signal_does_not_stop_what_takes_no_time(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = release.publish

    def publish(*words: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        real(*words)

    monkeypatch.setattr(release, "publish", publish)
    make(monkeypatch, "0.2.0")
    assert clone.git("rev-parse", "v0.2.0^{commit}") == clone.git("rev-parse", "HEAD")


def test_what_a_command_has_started_ends_with_it(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = f"exec >{pipe}; (sleep 5; echo late) & kill -TERM {os.getpid()}; wait"
    monkeypatch.setattr(release, "build_and_check", lambda *_: dist.run("sh", "-c", script))
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        with pytest.raises(SystemExit):
            make(monkeypatch, "0.2.0")
        os.set_blocking(reader.fileno(), True)
        assert reader.read() == b"", "read once no process has the pipe any more"


def test_a_second_signal_leaves_time_to_clean() -> None:
    cleaned = False
    with pytest.raises(SystemExit), dist.ended_by_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned = True
    assert cleaned


# -- what others do meanwhile


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act while the lock is written."""

    def write_lock(tree: Path, path: Path) -> None:
        path.write_text("lock")
        act()

    monkeypatch.setattr(release, "write_lock", write_lock)


def test_an_edit_meanwhile_is_no_part_of_the_release(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: (clone.root / "code.py").write_text("mine"))
    make(monkeypatch, "0.2.0")
    assert clone.git("status", "--porcelain") == "M code.py"
    assert clone.git("show", "v0.2.0:code.py") == ""


@pytest.mark.parametrize("name", release.CHANGED)
def test_an_edit_of_its_own_files_stops_a_release_and_stays(
    name: str, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: (clone.root / name).write_text("mine"))
    is_stopped(clone, monkeypatch, "overwritten")
    assert (clone.root / name).read_text() == "mine"
    assert clone.git("status", "--porcelain") == f"M {name}"


def test_a_commit_meanwhile_stops_a_release_and_stays(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: clone.write("code.py", "mine"))
    is_stopped(clone, monkeypatch, "fast-forward")
    assert clone.git("log", "--format=%s") == "Write code.py\nBegin"


def test_a_tag_meanwhile_stops_a_release_and_stays(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: clone.git("tag", "v0.2.0"))
    with pytest.raises(SystemExit, match="already exists"):
        make(monkeypatch, "0.2.0")
    assert clone.git("rev-parse", "v0.2.0") == clone.git("rev-parse", "HEAD")
    assert clone.git("log", "--format=%s") == "Begin"


def is_stopped(clone: Clone, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    with pytest.raises(SystemExit, match=reason):
        make(monkeypatch, "0.2.0")
    assert clone.git("tag", "--list", "v0.2.0") == ""
    assert [path.name for path in (clone.root / "dist").iterdir()] == ["earlier.whl"]


# -- what is made


def test_a_release_is_a_commit_a_tag_and_files(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(monkeypatch, "0.2.0")
    assert clone.git("log", "-1", "--format=%s", "v0.2.0") == "Release 0.2.0"
    assert clone.git("rev-parse", "v0.2.0^{commit}") == clone.git("rev-parse", "HEAD")
    assert clone.git("status", "--porcelain") == ""
    assert clone.git("diff", "--name-only", "v0.1.0") == "CHANGELOG.md\npyproject.toml"
    assert 'version = "0.2.0"' in (clone.root / "pyproject.toml").read_text(encoding="utf-8")
    log = (clone.root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## 0\.2\.0 \(\d{4}-\d\d-\d\d\)$", log, re.MULTILINE)
    assert clone.git("tag", "--list", "--format=%(contents)", "v0.2.0") == NOTES.strip()
    files = {path.name: path.read_bytes() for path in (clone.root / "dist").iterdir()}
    digests = files.pop("SHA256SUMS").decode()
    lock = "stylewatch-0.2.0-lock.txt"
    assert files.keys() == {"stylewatch.whl", "stylewatch.tar.gz", "notes.md", lock}
    assert files["notes.md"].decode() == NOTES
    assert not [*(clone.root / "build").iterdir()]
    lines = [f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    assert digests == "".join(lines)


def test_candidates_leave_the_section_to_the_version(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.write("pyproject.toml", PROJECT.replace("0.1.0", "0.2.0rc1"))
    for version in ("0.2.0rc1", "0.2.0rc2", "0.2.0"):
        assert release.OPEN in (clone.root / "CHANGELOG.md").read_text(encoding="utf-8")
        make(monkeypatch, version)
        assert (clone.root / "dist/notes.md").read_text(encoding="utf-8") == NOTES
    assert release.OPEN not in (clone.root / "CHANGELOG.md").read_text(encoding="utf-8")
    tags = clone.git("tag", "--list", "v*").split()
    assert tags == ["v0.1.0", "v0.2.0", "v0.2.0rc1", "v0.2.0rc2", "vendor"]


def test_packages_have_what_is_committed_alone(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that this machine's settings of git ignore are not committed, and so not published."""
    (clone.root / ".git/info/exclude").write_text(".envrc\n")
    (clone.root / ".envrc").write_text("SECRET=1")
    make(monkeypatch, "0.2.0")
    files = (clone.root / "dist/stylewatch.whl").read_text().split("\n")
    assert files == [".git", ".gitignore", "CHANGELOG.md", "code.py", "pyproject.toml"]
