"""Make a release by one command: `make release VERSION=0.1.0`.

All is made in a checkout of its own: a commit with the version and the date in pyproject.toml and
CHANGELOG.md, the packages of it, built and checked, the notes, a lock with hashes, and the digests
of all files. Only once all is well the branch takes the commit, a tag names it, and the files
become dist/. So whatever fails, or ends it, leaves nothing; what others edit meanwhile is no part
of the release.

A release candidate, as 0.1.0rc1, leaves the heading in CHANGELOG.md open: its section is released
with 0.1.0.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from packaging.version import InvalidVersion, Version
from tests.dist import DIST, ROOT, build_and_check, checkout, ended_by_signals, ignore_signals, run

OPEN = "(not released yet)"
"""Text in the heading of the next version, in place of the date."""

SECTION = re.compile(rf"^## (\S+) {re.escape(OPEN)}$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
"""Pattern of that heading, with its version, and of what follows it."""

NORMAL = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", re.ASCII)

CHANGED = ("pyproject.toml", "CHANGELOG.md")
"""Files that a release changes and commits."""

CONTAINER = ("Containerfile", "compose.yaml", "container/config.yaml", "container/start")


def output(*words: str, folder: Path | None = None) -> str:
    """Return the output of a command, by default in the project's folder; exit if it fails."""
    # in a group of its own, so that a terminal's Ctrl-C does not end it in the middle
    done = subprocess.run(
        words, cwd=folder or ROOT, capture_output=True, encoding="utf-8", errors="replace",
        check=False, process_group=0,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


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


def check_committed() -> None:
    """Exit if there are changes that are not committed, which would be no part of the release."""
    if changed := uncommitted(ROOT):
        sys.exit(f"commit these first, or take them back:\n{changed}")


def uncommitted(tree: Path) -> str:
    """Return the changes in a checkout, a line each."""
    return output("git", "status", "--porcelain", "--untracked-files=all", folder=tree)


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


# -- what is made


def edit(tree: Path, version: Version) -> None:
    """Write the version into pyproject.toml, and the date into its heading of the log."""
    project, log = (tree / name for name in CHANGED)
    line = f'version = "{version}"'
    text, count = re.subn(r'(?m)^version = ".*"$', line, project.read_text("utf-8"), count=1)
    if not count:
        sys.exit("pyproject.toml has no version")
    project.write_text(text, encoding="utf-8")
    date = datetime.now(UTC).date().isoformat()
    # of a candidate there is no such heading: that of its version stays open
    heading = (f"## {version} {OPEN}\n", f"## {version} ({date})\n")
    log.write_text(log.read_text("utf-8").replace(*heading, 1), encoding="utf-8")


def commit(tree: Path, version: Version) -> str:
    """Edit the files in a checkout and commit them there; return the commit."""
    edit(tree, version)
    # a candidate may find its version written already
    output("git", "commit", "--quiet", "--allow-empty", "--all", "--message",
           f"Release {version}", folder=tree)  # fmt: skip
    if changed := uncommitted(tree):
        sys.exit(f"a hook of git has left changes beside the commit:\n{changed}")
    return output("git", "rev-parse", "HEAD", folder=tree)


def write_lock(tree: Path, path: Path) -> None:
    """Write the versions of constraints.txt with their hashes, for each Python and machine."""
    run(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal",
        "--python-version", "3.11", "--generate-hashes", "--no-header", "--extra", "all",
        "--constraint", "constraints.txt", "--output-file", path, "pyproject.toml",
        folder=tree)  # fmt: skip


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


def make_files(tree: Path, version: Version, notes: str, folder: Path) -> None:
    """Make all files of the release in `folder`; exit if a package is not as it should be."""
    _, source = build_and_check(tree, folder)
    check_source(source)
    (folder / "notes.md").write_text(notes, encoding="utf-8")
    write_lock(tree, folder / f"stylewatch-{version}-lock.txt")
    write_digests(folder)


def publish(tag: str, commit: str, files: Path) -> None:
    """Make the files dist/, tag the commit, and let the branch take it; or leave all as it was.

    The branch takes it only if nothing was committed meanwhile, and neither file was edited. The
    earlier dist/ is beside the files then.
    """
    with ExitStack() as undo:
        if os.path.lexists(DIST):
            earlier = files.with_name("earlier")
            DIST.rename(earlier)
            undo.callback(earlier.rename, DIST)
        files.rename(DIST)
        undo.callback(DIST.rename, files)
        # its lines with # are kept: they are headings
        output("git", "tag", "--annotate", "--cleanup", "whitespace",
               "--file", str(DIST / "notes.md"), tag, commit)  # fmt: skip
        undo.callback(output, "git", "tag", "--delete", tag)
        output("git", "merge", "--quiet", "--ff-only", commit)
        undo.pop_all()


def release(version: Version, notes: str) -> None:
    """Make the release, which takes minutes, and publish it here at once."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    # another's files in an earlier dist/ may stay in there
    temporary = tempfile.TemporaryDirectory("", "release-", build, ignore_cleanup_errors=True)
    with ended_by_signals(), temporary as folder, checkout() as tree:
        files = Path(folder, "files")
        made = commit(tree, version)
        make_files(tree, version, notes, files)
        ignore_signals()
        publish(f"v{version}", made, files)


def main() -> None:
    """Make the release, unless it would be wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="as 0.1.0")
    version = check_version(parser.parse_args().version)
    check_committed()
    check_source_address()
    release(version, read_notes(version))
    print(f"\nv{version} is tagged; its files are in dist/. To publish it:")
    print("  git push --follow-tags")
    print("  twine upload dist/*.whl dist/*.tar.gz")


if __name__ == "__main__":
    main()
