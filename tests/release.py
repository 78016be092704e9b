"""Make a release by one command: `make release VERSION=0.1.0`.

It writes the version and the date into pyproject.toml and CHANGELOG.md, builds and checks the
packages, adds the notes, a lock of what was tested, with hashes, and the digests of all files,
commits, tags, and puts the files into dist/. If anything fails, or a signal ends it, the commit,
the tags, both files and dist/ are as before. The source distribution has the files of the
container.

A release candidate, as 0.1.0rc1, leaves the heading in CHANGELOG.md open: its section is released
with 0.1.0.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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


def check_unchanged(start: str) -> None:
    """Exit if something was committed or changed since the packages were built."""
    others = [f":!{name}" for name in CHANGED]
    changed = output("git", "status", "--porcelain", "--", ".", *others)
    if changed or output("git", "rev-parse", "HEAD") != start:
        sys.exit(f"the clone has changed since the packages were built\n{changed}")


# -- what is made


def set_version(version: Version) -> None:
    """Write the version into pyproject.toml, and with the date into the heading of CHANGELOG.md."""
    project, changelog = ROOT / "pyproject.toml", ROOT / "CHANGELOG.md"
    text = project.read_text(encoding="utf-8")
    text, count = re.subn(r'(?m)^version = ".*"$', f'version = "{version}"', text, count=1)
    if not count:
        sys.exit("pyproject.toml has no version")
    project.write_text(text, encoding="utf-8")
    log = changelog.read_text(encoding="utf-8")
    date = datetime.now(UTC).date().isoformat()
    # of a candidate there is no such heading: that of its version stays open
    log = log.replace(f"## {version} {OPEN}\n", f"## {version} ({date})\n", 1)
    changelog.write_text(log, encoding="utf-8")


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


def release(version: Version, notes: str) -> None:
    """Build, check, commit, tag, and replace dist/; whatever fails, leave all as it was.

    Others may edit files of the clone while the packages are built, which takes minutes: only what
    the release itself has changed is committed, or taken back.
    """
    tag, folder = f"v{version}", ROOT / "build/release"
    start = output("git", "rev-parse", "HEAD")
    with undone_unless_whole() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.callback(output, "git", "checkout", "--quiet", "HEAD", "--", *CHANGED)
        set_version(version)
        make_files(version, notes, folder)
        check_unchanged(start)
        undo.callback(output, "git", "reset", "--quiet", "--soft", start)
        # a candidate may find its version written already
        output("git", "commit", "--quiet", "--allow-empty", "--message", f"Release {version}",
               "--", *CHANGED)  # fmt: skip
        undo.callback(output, "git", "update-ref", "-d", f"refs/tags/{tag}")
        # its lines with # are kept: they are headings
        output("git", "tag", "--annotate", "--cleanup", "whitespace",
               "--file", str(folder / "notes.md"), tag)  # fmt: skip
        shutil.rmtree(DIST, ignore_errors=True)
        folder.rename(DIST)


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
