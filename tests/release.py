"""Make a release by one command: `make release VERSION=0.1.0`.

It writes the version and the date into pyproject.toml and CHANGELOG.md, builds and checks the
packages, adds to dist/ the notes, a lock of what was tested, with hashes, and the digests of all
files, then commits and tags. If anything fails, both files are as before, and nothing is
committed. The source distribution has the files of the container.
"""

import argparse
import re
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from tests.dist import DIST, ROOT, build_and_check, run

OPEN = "(not released yet)"
"""Text in the heading of the next version, in place of the date."""

CONTAINER = ("Containerfile", "compose.yaml", "container/config.yaml", "container/start")


def output(*words: str) -> str:
    """Return the output of a command; exit if it fails."""
    ended = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(words)}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def refuse_to_start(version: str) -> None:
    """Exit if there are changes that are not committed, or a release of this version."""
    if changed := output("git", "status", "--porcelain"):
        sys.exit(f"commit these first, or take them back:\n{changed}")
    if output("git", "tag", "--list", f"v{version}"):
        sys.exit(f"there is a release {version}: choose a later version")


def set_version(version: str) -> str:
    """Write the version into pyproject.toml and CHANGELOG.md; return its section of the latter."""
    project, changelog = ROOT / "pyproject.toml", ROOT / "CHANGELOG.md"
    text = project.read_text(encoding="utf-8")
    text, count = re.subn(r'(?m)^version = ".*"$', f'version = "{version}"', text, count=1)
    project.write_text(text, encoding="utf-8")
    log = changelog.read_text(encoding="utf-8")
    heading = f"## {version} ({datetime.now(UTC).date().isoformat()})"
    log, dated = re.subn(rf"(?m)^## .* {re.escape(OPEN)}$", heading, log, count=1)
    if not count or not dated:
        sys.exit(f'CHANGELOG.md has no heading "## VERSION {OPEN}", or pyproject.toml no version')
    changelog.write_text(log, encoding="utf-8")
    section = log.partition(f"{heading}\n")[2]
    return re.split(r"(?m)^## ", section)[0].strip() + "\n"


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


def release(version: str) -> None:
    """Build, check, commit and tag."""
    notes = set_version(version)
    _, source = build_and_check()
    check_source(source)
    (DIST / "notes.md").write_text(notes, encoding="utf-8")
    write_lock(DIST / f"stylewatch-{version}-lock.txt")
    write_digests(DIST)
    output("git", "commit", "--quiet", "--all", "--message", f"Release {version}")
    output("git", "tag", "--annotate", f"v{version}", "--file", str(DIST / "notes.md"))


def main() -> None:
    """Make the release; if it fails, take the changes of files back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="as 0.1.0")
    version = parser.parse_args().version
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        sys.exit(f"a version is written as 0.1.0 or 0.2.0rc1, not {version!r}")
    refuse_to_start(version)
    try:
        release(version)
    except BaseException:
        output("git", "checkout", "--", "pyproject.toml", "CHANGELOG.md")
        raise
    print(f"\nv{version} is tagged; its files are in dist/. To publish it:")
    print("  git push --follow-tags")
    print("  twine upload dist/*.whl dist/*.tar.gz")


if __name__ == "__main__":
    main()
