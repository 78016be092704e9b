"""`make release`: what it refuses, what it leaves when a step fails, what it makes.

The clone is a small one; the packages and the lock are made of nothing.
"""

import os
import re
import shutil
import signal
import sys
import tarfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

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
        locks = [*(self.root / ".git").rglob("*.lock")]
        return self.git("show-ref", "--head"), self.git("status", "--porcelain"), locks, files


def packages(folder: Path, in_source: Sequence[str] = release.CONTAINER) -> tuple[list[Path], Path]:
    """Return a wheel, and a source distribution with empty files, by default of the container."""
    folder.mkdir(parents=True)
    wheel, source = folder / "stylewatch.whl", folder / "stylewatch.tar.gz"
    wheel.write_text("wheel", encoding="utf-8")
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
    monkeypatch.setattr(release, "DIST", root / "dist")
    monkeypatch.setattr(release, "build_and_check", packages)
    monkeypatch.setattr(release, "write_lock", lambda path: path.write_text("lock"))
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


# -- what is taken back

Arrangement = Callable[[Clone, pytest.MonkeyPatch], None]


def fail(*_: object) -> None:
    sys.exit("it fails")


def signals(number: int) -> Callable[[Path], None]:
    return lambda _: os.kill(os.getpid(), number)


def replaced(name: str, function: Callable[..., object]) -> Arrangement:
    return lambda _, monkeypatch: monkeypatch.setattr(release, name, function)


def hooked(event: str, command: str) -> Arrangement:
    return lambda clone, _: clone.hook(event, command)


def build_half(folder: Path) -> None:
    packages(folder)
    fail()


def write_no_version(clone: Clone, _: pytest.MonkeyPatch) -> None:
    clone.write("pyproject.toml", PROJECT.replace("version = ", "version="))


def sign_without_a_key(clone: Clone, _: pytest.MonkeyPatch) -> None:
    clone.git("config", "tag.gpgsign", "true")
    clone.git("config", "gpg.program", "false")


def longer_message(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    clone.hook("prepare-commit-msg", 'sed -i "1s/^/X-1: /" "$1"')
    fail_with_a_tag(clone, monkeypatch)


def fail_with_a_tag(_: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    def output(*words: str, real: Callable[..., str] = release.output) -> str:
        printed = real(*words)
        if "--annotate" in words:
            fail()
        return printed

    monkeypatch.setattr(release, "output", output)


def signal_twice(_: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail, and send a signal while the changes are taken back."""

    def take_back(edit: release.Edit, real: Callable[..., None] = release.Edit.take_back) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        real(edit)

    monkeypatch.setattr(release, "write_lock", fail)
    monkeypatch.setattr(release.Edit, "take_back", take_back)


def at_rename(name: str, action: Callable[[], object], *, late: bool = False) -> Arrangement:
    """Act once, just before or after the folder of that name gets another."""

    def arrange(_: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
        todo = [action]

        def rename(path: Path, target: Path, real: Callable[..., Path] = Path.rename) -> Path:
            act = todo.pop() if path.name == name and todo else lambda: None
            if late:
                renamed = real(path, target)
                act()
            else:
                act()
                renamed = real(path, target)
            return renamed

        monkeypatch.setattr(Path, "rename", rename)

    return arrange


def without_dist(arrange: Arrangement) -> Arrangement:
    def remove_and_arrange(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.rmtree(clone.root / "dist")
        arrange(clone, monkeypatch)

    return remove_and_arrange


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


KILL = f"kill -TERM {os.getpid()}; sleep 20"

FAILING: dict[str, Arrangement] = {
    "no version": write_no_version,
    "the packages": replaced("build_and_check", build_half),
    "the source distribution": replaced("build_and_check", lambda path: packages(path, ["code"])),
    "the lock": replaced("write_lock", fail),
    "the digests": replaced("write_digests", fail),
    "the commit": hooked("pre-commit", "exit 1"),
    "the tag": sign_without_a_key,
    "after the tag": fail_with_a_tag,
    "SIGINT": replaced("write_lock", signals(signal.SIGINT)),
    "SIGTERM": replaced("write_lock", signals(signal.SIGTERM)),
    "SIGHUP": replaced("write_lock", signals(signal.SIGHUP)),
    "the lock, and SIGTERM afterwards": signal_twice,
    "SIGTERM before the commit": hooked("pre-commit", KILL),
    "SIGTERM after the commit": hooked("post-commit", KILL),
    "the tag, with a longer message of the commit": longer_message,
    "moving dist/ away": at_rename("dist", fail),
    "SIGTERM once dist/ is away": at_rename("dist", end, late=True),
    "moving the files to dist/": at_rename("release", fail),
    "SIGTERM once the files are in dist/": at_rename("release", end, late=True),
    "moving the files, without a dist/": without_dist(at_rename("release", fail)),
    "SIGTERM once there is a dist/": without_dist(at_rename("release", end, late=True)),
}
"""For each step, what makes it fail."""


@pytest.mark.parametrize("step", FAILING)
@pytest.mark.usefixtures("hears_hangups")
def test_a_release_that_fails_is_taken_back(
    step: str, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    FAILING[step](clone, monkeypatch)
    before = clone.state()
    handlers = [signal.getsignal(number) for number in dist.ENDING]
    with pytest.raises(SystemExit):
        make(monkeypatch, "0.2.0")
    assert clone.state() == before
    assert [signal.getsignal(number) for number in dist.ENDING] == handlers


def test_what_a_command_has_started_ends_with_it(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = f"exec >{pipe}; (sleep 5; echo late) & kill -TERM {os.getpid()}; wait"
    monkeypatch.setattr(release, "build_and_check", lambda _: dist.run("sh", "-c", script))
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


def edit(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(folder: Path) -> tuple[list[Path], Path]:
        (clone.root / "code.py").write_text("mine", encoding="utf-8")
        return packages(folder)

    monkeypatch.setattr(release, "build_and_check", build)


def edit_and_commit(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(folder: Path) -> tuple[list[Path], Path]:
        (clone.root / "code.py").write_text("mine", encoding="utf-8")
        clone.git("commit", "--quiet", "--message", "Mine", "--", "code.py")
        return packages(folder)

    monkeypatch.setattr(release, "build_and_check", build)


MEANWHILE: dict[str, tuple[Arrangement, str, str]] = {
    "an edit": (edit, "Begin", "M code.py"),
    "a commit": (edit_and_commit, "Mine\nBegin", ""),
    "an edit after the check": (
        hooked("pre-commit", "printf mine >code.py; exit 1"), "Begin", "M code.py"),
    "an edit that joins the commit": (
        hooked("pre-commit", "printf mine >code.py; git add code.py"), "Begin", "M code.py"),
}  # fmt: skip
"""For each thing that others do, the commits and the changes that there are then."""


@pytest.mark.parametrize("what", MEANWHILE)
def test_what_others_do_meanwhile_stops_a_release_and_stays(
    what: str, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrange, commits, changes = MEANWHILE[what]
    arrange(clone, monkeypatch)
    with pytest.raises(SystemExit):
        make(monkeypatch, "0.2.0")
    assert (clone.root / "code.py").read_text(encoding="utf-8") == "mine"
    assert clone.git("log", "--format=%s") == commits
    assert clone.git("status", "--porcelain") == changes
    assert clone.git("tag", "--list", "v0.2.0") == ""


def edit_after(name: str, step: str, then: Callable[..., None]) -> Arrangement:
    """Have somebody replace a text in a file of the clone once a step is done."""

    def arrange(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(release, step)

        def step_and_edit(*words: object) -> object:
            done = real(*words)
            (clone.root / name).write_text(MINE, encoding="utf-8")
            then()
            return done

        monkeypatch.setattr(release, step, step_and_edit)

    return arrange


def remove_log(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_lock(path: Path) -> None:
        path.write_text("lock")
        (clone.root / "CHANGELOG.md").unlink()

    monkeypatch.setattr(release, "write_lock", write_lock)


MINE = "mine\n"
EDITED: dict[str, tuple[str, Arrangement]] = {
    f"{name}, and {outcome}": (name, edit_after(name, "build_and_check", then))
    for name in release.CHANGED
    for outcome, then in (("all goes on", lambda: None), ("a failure", fail), ("SIGTERM", end))
} | {
    f"{name}, once it is checked": (name, edit_after(name, "check_unchanged", fail))
    for name in release.CHANGED
} | {
    f"{name}, which joins the commit": (
        name, hooked("pre-commit", f"echo mine >{name}; git add {name}"))
    for name in release.CHANGED
}  # fmt: skip
"""For each time the file that somebody edits, and how."""


@pytest.mark.parametrize("what", EDITED)
def test_edits_of_the_files_of_a_release_stop_it_and_stay(
    what: str, clone: Clone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, arrange = EDITED[what]
    (other,) = {*release.CHANGED} - {name}
    before = (clone.root / other).read_bytes()
    arrange(clone, monkeypatch)
    with pytest.raises(SystemExit):
        make(monkeypatch, "0.2.0")
    assert (clone.root / name).read_text(encoding="utf-8") == MINE
    assert (clone.root / other).read_bytes() == before
    assert clone.git("log", "--format=%s") == "Begin"
    assert clone.git("status", "--porcelain") == f"M {name}"
    assert clone.git("tag", "--list", "v0.2.0") == ""
    assert f"{name} was changed meanwhile" in capsys.readouterr().err


def test_an_edit_after_the_commit_is_no_part_of_the_release(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.hook("post-commit", "echo mine >CHANGELOG.md")
    make(monkeypatch, "0.2.0")
    assert (clone.root / "CHANGELOG.md").read_text(encoding="utf-8") == MINE
    assert "It paints." in clone.git("show", "v0.2.0:CHANGELOG.md")


def test_a_commit_upon_that_of_the_release_stays(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "git -c core.hooksPath=none commit --quiet --allow-empty --message Mine"
    clone.hook("post-commit", command)
    with pytest.raises(SystemExit, match="committed at the same time"):
        make(monkeypatch, "0.2.0")
    assert clone.git("log", "--format=%s") == "Mine\nRelease 0.2.0\nBegin"
    assert clone.git("tag", "--list", "v0.2.0") == ""
    assert "see git log" in capsys.readouterr().err


def test_a_file_that_somebody_removes_meanwhile_stops_a_release(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_log(clone, monkeypatch)
    with pytest.raises(SystemExit, match="the clone has changed"):
        make(monkeypatch, "0.2.0")
    assert clone.git("status", "--porcelain") == "D CHANGELOG.md"


@pytest.mark.parametrize("kind", ["annotated", "lightweight"])
def test_a_tag_that_comes_meanwhile_stops_a_release_and_stays(
    kind: str, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clone.git("show-ref", "--head")

    def write_lock(path: Path) -> None:
        path.write_text("lock")
        message = ["--annotate", "--message", "Theirs"] if kind == "annotated" else []
        clone.git("tag", *message, "v0.2.0")

    monkeypatch.setattr(release, "write_lock", write_lock)
    with pytest.raises(SystemExit, match="already exists"):
        make(monkeypatch, "0.2.0")
    assert clone.git("rev-parse", "v0.2.0^{commit}") == clone.git("rev-parse", "HEAD")
    assert clone.git("status", "--porcelain") == ""
    clone.git("tag", "--delete", "v0.2.0")
    assert clone.git("show-ref", "--head") == before


def test_an_earlier_dist_that_cannot_be_deleted_stays_aside(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rmtree(path: Path, real: Callable[..., None] = shutil.rmtree, **options: object) -> None:
        if (Path(path) / "dist").exists():
            raise PermissionError(13, "not yours", str(path))
        real(path, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    make(monkeypatch, "0.2.0")
    (earlier,) = (clone.root / "build").rglob("earlier.whl")
    assert f"the earlier dist/ is in {earlier.parents[1]}" in capsys.readouterr().err
    assert (clone.root / "dist/SHA256SUMS").exists()
    assert clone.git("tag", "--list", "v0.2.0") == "v0.2.0"


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
