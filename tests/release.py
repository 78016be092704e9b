"""Make a release by one command: `make release VERSION=0.1.0`.

It writes the version and the date into pyproject.toml and CHANGELOG.md, builds and checks the
packages, adds the notes, a lock of what was tested, with hashes, and the digests of all files,
commits, tags, and puts the files into dist/. If anything fails, or a signal ends it, the commit,
the tags, both files and dist/ are as before; what others have edited, committed or tagged meanwhile
stays. The source distribution has the files of the container.

A release candidate, as 0.1.0rc1, leaves the heading in CHANGELOG.md open: its section is released
with 0.1.0.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from packaging.version import InvalidVersion, Version
from tests.dist import DIST, ROOT, build_and_check, ended_by_signals, ignore_signals, run

OPEN = "(not released yet)"
"""Text in the heading of the next version, in place of the date."""

SECTION = re.compile(rf"^## (\S+) {re.escape(OPEN)}$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
"""Pattern of that heading, with its version, and of what follows it."""

NORMAL = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", re.ASCII)

CHANGED = ("pyproject.toml", "CHANGELOG.md")
"""Files that a release changes and commits."""

CONTAINER = ("Containerfile", "compose.yaml", "container/config.yaml", "container/start")


def output(*words: str) -> str:
    """Return the output of a command; exit if it fails."""
    with subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            printed, errors = process.communicate()
        except BaseException:
            process.terminate()  # not killed: git removes its locks
            raise
    if process.returncode != 0:
        sys.exit(f"{' '.join(words)}: {(errors or printed).strip()}")
    return printed.strip()


# -- what is refused


def check_version(text: str) -> Version:
    """Return the version; exit if it is not in its normal form, or not the latest."""
    if not NORMAL.fullmatch(text) or str(Version(text)) != text:
        sys.exit(f"a version is written as 0.1.0 or 0.2.0rc1, not {text!r}")
    version = Version(text)
    newest = max(released(), default=None)
    if newest and version <= newest:
        sys.exit(f"there is a release {newest}: choose a later version than that, not {version}")
    return version


def released() -> Iterator[Version]:
    """Yield the versions of the tags; a tag may also have another meaning."""
    for tag in output("git", "tag", "--list", "v*").splitlines():
        with suppress(InvalidVersion):
            yield Version(tag)


def read_notes(version: Version) -> str:
    """Return the section of the next version in CHANGELOG.md; exit if that is another, or empty."""
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = SECTION.findall(log)
    expected = version.base_version
    if [name for name, _ in sections] != [expected]:
        found = ", ".join(name for name, _ in sections) or "none"
        sys.exit(f'CHANGELOG.md needs one heading "## {expected} {OPEN}", and has {found}')
    notes: str = sections[0][1].strip()
    if not notes:
        sys.exit(f"CHANGELOG.md says nothing about {expected}")
    return f"{notes}\n"


def check_source_address() -> None:
    """Exit if pyproject.toml does not say where the project is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if not project.get("urls", {}).get("Source"):
        sys.exit("pyproject.toml: fill in Source in [project.urls], the address of the project")


def check_clone() -> None:
    """Exit if there are changes that are not committed."""
    if changed := output("git", "status", "--porcelain"):
        sys.exit(f"commit these first, or take them back:\n{changed}")


@dataclass(frozen=True)
class Edit:
    """What a release writes into a file of the clone."""

    name: str
    before: bytes
    after: bytes

    def content(self) -> bytes | None:
        """Return what is in the file now, or None if somebody has removed it."""
        try:
            return (ROOT / self.name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self) -> None:
        """Write the file."""
        replace(ROOT / self.name, self.after)

    def take_back(self) -> None:
        """Write what was there before, unless somebody has changed the file since."""
        found = self.content()
        if found == self.after:
            replace(ROOT / self.name, self.before)
        elif found != self.before:
            print(f"{self.name} was changed meanwhile, and stays so: see git diff", file=sys.stderr)


def replace(path: Path, content: bytes) -> None:
    """Write a file at once: if a signal left half of it, that would look like somebody's edit."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as folder:
        new = Path(folder) / path.name
        new.write_bytes(content)
        shutil.copymode(path, new)
        new.replace(path)


def check_unchanged(start: str, edits: list[Edit]) -> None:
    """Exit if something was committed or changed since the packages were built."""
    others = [f":!{name}" for name in CHANGED]
    lines = output("git", "status", "--porcelain", "--", ".", *others).splitlines()
    lines += [edit.name for edit in edits if edit.content() != edit.after]
    if lines or output("git", "rev-parse", "HEAD") != start:
        sys.exit("\n".join(["the clone has changed since the packages were built", *lines]))


def check_commit(start: str, commit: str, edits: list[Edit]) -> None:
    """Exit if a commit has other changes than the packages: a hook of git may add some."""
    if output("git", "rev-parse", f"{commit}^") != start:
        sys.exit("something was committed at the same time")
    others = [f":!{name}" for name in CHANGED]
    names = output("git", "diff", "--name-only", start, commit, "--", ".", *others).splitlines()
    for edit in edits:
        committed = output("git", "cat-file", "blob", f"{commit}:{edit.name}")
        if committed != edit.after.decode().strip():  # `output` strips
            names.append(edit.name)
    if names:
        sys.exit("\n".join(["the commit has changes that the packages lack", *names]))


# -- what is made


def edits_for(version: Version) -> list[Edit]:
    """Return the edits: the version in pyproject.toml, and the date in its heading of the log."""
    project, log = ((ROOT / name).read_bytes() for name in CHANGED)
    line = f'version = "{version}"'
    text, count = re.subn(r'(?m)^version = ".*"$', line, project.decode(), count=1)
    if not count:
        sys.exit("pyproject.toml has no version")
    date = datetime.now(UTC).date().isoformat()
    # of a candidate there is no such heading: that of its version stays open
    dated = log.decode().replace(f"## {version} {OPEN}\n", f"## {version} ({date})\n", 1)
    return [
        Edit("pyproject.toml", project, text.encode()),
        Edit("CHANGELOG.md", log, dated.encode()),
    ]


def write_lock(path: Path) -> None:
    """Write the versions of constraints.txt with their hashes, for each Python and machine."""
    run(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal",
        "--python-version", "3.11", "--generate-hashes", "--no-header", "--extra", "all",
        "--constraint", "constraints.txt", "--output-file", path, "pyproject.toml")  # fmt: skip


def check_source(source: Path) -> None:
    """Exit if the source distribution lacks a file of the container."""
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if missing := set(CONTAINER) - names:
        sys.exit(f"{source.name} lacks {', '.join(sorted(missing))}")


def write_digests(folder: Path) -> None:
    """Write the SHA-256 of each file of a folder into SHA256SUMS there."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def make_files(version: Version, notes: str, folder: Path) -> None:
    """Make all files of the release in `folder`; exit if a package is not as it should be."""
    _, source = build_and_check(folder)
    check_source(source)
    (folder / "notes.md").write_text(notes, encoding="utf-8")
    write_lock(folder / f"stylewatch-{version}-lock.txt")
    write_digests(folder)


@contextmanager
def undone_unless_whole() -> Iterator[ExitStack]:
    """Yield a stack whose callbacks are called if the block fails, or a signal ends it."""
    undo = ExitStack()
    with ended_by_signals():
        try:
            yield undo
        except BaseException:
            ignore_signals()
            undo.close()
            raise


def take_back_commit(start: str, version: Version) -> None:
    """Take the commit of the release off the branch and the index, if it was made."""
    head, _, message = output("git", "log", "-1", "--format=%H %B").partition(" ")
    if head == start:
        return
    if f"Release {version}" not in message:  # a hook of git may add to it
        print(f"the commits since {start} stay: see git log", file=sys.stderr)
        return
    output("git", "update-ref", "HEAD", f"{head}^", head)
    output("git", "reset", "--quiet", "--", *CHANGED)


def delete_tag(tag: str, commit: str) -> None:
    """Delete a tag if it is of that commit: one of the same name may have been fetched."""
    found = output("git", "for-each-ref", "--format=%(objectname) %(*objectname)",
                   f"refs/tags/{tag}")  # fmt: skip
    made, _, tagged = found.partition(" ")
    if tagged == commit:
        output("git", "update-ref", "-d", f"refs/tags/{tag}", made)


def put_back(old: Path, folder: Path, made: os.stat_result) -> None:
    """Move dist/ to `folder` again if that was made dist/, and the earlier one to its place."""
    if DIST.exists() and os.path.samestat(DIST.stat(), made):
        DIST.rename(folder)
    if os.path.lexists(old):
        old.rename(DIST)


def replace_dist(folder: Path, undo: ExitStack) -> Path:
    """Make `folder` dist/; return a folder with the earlier one, to be deleted at the very end."""
    aside = Path(tempfile.mkdtemp(prefix="dist-", dir=folder.parent))
    undo.callback(aside.rmdir)
    old = aside / "dist"
    undo.callback(put_back, old, folder, folder.stat())
    if os.path.lexists(DIST):
        DIST.rename(old)
    folder.rename(DIST)
    return aside


def delete_dist(aside: Path) -> None:
    """Delete the earlier dist/, or say where it is: the release is whole without that."""
    try:
        shutil.rmtree(aside)
    except OSError as error:
        print(f"the earlier dist/ is in {aside}, and cannot be deleted: {error}", file=sys.stderr)


def release(version: Version, notes: str) -> None:
    """Build, check, commit, tag, and replace dist/; whatever fails, leave all as it was.

    Others may edit files of the clone while the packages are built, which takes minutes: only what
    the release itself has changed is committed, or taken back. Each way back is known before its
    step, as a signal may come at once, and finds out whether the step was done.
    """
    tag, folder = f"v{version}", ROOT / "build/release"
    start = output("git", "rev-parse", "HEAD")
    with undone_unless_whole() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        edits = edits_for(version)
        for edit in edits:
            undo.callback(edit.take_back)
            edit.write()
        make_files(version, notes, folder)
        check_unchanged(start, edits)
        undo.callback(take_back_commit, start, version)
        # a candidate may find its version written already
        output("git", "commit", "--quiet", "--allow-empty", "--message", f"Release {version}",
               "--", *CHANGED)  # fmt: skip
        commit = output("git", "rev-parse", "HEAD")
        check_commit(start, commit, edits)
        undo.callback(delete_tag, tag, commit)
        # its lines with # are kept: they are headings
        output("git", "tag", "--annotate", "--cleanup", "whitespace",
               "--file", str(folder / "notes.md"), tag)  # fmt: skip
        aside = replace_dist(folder, undo)
    delete_dist(aside)


def main() -> None:
    """Make the release, unless it would be wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="as 0.1.0")
    version = check_version(parser.parse_args().version)
    check_clone()
    check_source_address()
    release(version, read_notes(version))
    print(f"\nv{version} is tagged; its files are in dist/. To publish it:")
    print("  git push --follow-tags")
    print("  twine upload dist/*.whl dist/*.tar.gz")


if __name__ == "__main__":
    main()
