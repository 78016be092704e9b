"""`make surface`: settings on each way, what is said of daemon and jobs, hours, odd places.

`python -m tests.surface PART OF A KEY ...` tries some settings, `together` two mistakes at once,
`names` each name of a field of the recipe, `asked` jobs that are asked for, `states` what is said
of daemon and jobs, `hours [PART OF A ZONE ...]` hours where the clock is set, and `commands [PART
OF A COMMAND OR OF A CONDITION ...]` commands alone.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.surface import asked, commands, hours, names, states, together
from tests.surface.check import answers, breaches
from tests.surface.table import rows


def main(arguments: Sequence[str]) -> int:
    """Print each breach of a law; return 1 if there is one."""
    if arguments[:1] == ["commands"]:
        return commands.main(arguments[1:])
    if arguments[:1] == ["hours"]:
        return min(1, hours.main(arguments[1:]))
    parser = argparse.ArgumentParser(prog="python -m tests.surface", description=__doc__)
    choices = ", ".join(PARTS)
    parser.add_argument("keys", nargs="*", help=f"parts of keys, or {choices}; all by default")
    keys = parser.parse_args(arguments).keys
    found, home = 0, Path.cwd()
    with tempfile.TemporaryDirectory() as root:
        os.environ["HOME"] = root
        os.chdir(root)
        Path(root, "token").write_text("t" * 32)
        Path(root, "token").chmod(0o600)
        parts = [part for name, part in PARTS.items() if keys in ([], [name])]
        if len(parts) != 1:
            found += values(Path(root), keys)
        found += sum(part(Path(root)) for part in parts)
        os.chdir(home)
    if not keys:
        found += hours.main([]) + commands.main([])
    return 1 if found else 0


def values(root: Path, keys: Sequence[str]) -> int:
    """Try the settings whose names have one of `keys`, or all; return the number of breaches."""
    tried, found = 0, Counter[str]()
    for row in rows():
        if keys and not any(part in row.key for part in keys):
            continue
        tried += 1
        for breach in breaches(row, answers(root, row)):
            found[row.key] += 1
            print(f"{row.key}: {row.text}\n    {breach}", flush=True)
    print(f"{tried} texts of {len({row.key for row in rows()})} settings; {found.total()} "
          f"breaches in {len(found)} settings")  # fmt: skip
    return found.total()


def pairs(root: Path) -> int:
    """Try all pairs of mistakes; return the number of breaches."""
    tried = [*together.cases()]
    found = [(case, breach) for case in tried for breach in together.breaches(root, case)]
    for case, breach in found:
        print(f"{[(way, dict(together.ALL[number])) for way, number in case]}\n    {breach}")
    print(f"{len(tried)} pairs of mistakes; {len(found)} breaches")
    return len(found)


PARTS: Mapping[str, Callable[[Path], int]] = {
    "together": pairs, "names": names.main, "asked": asked.main, "states": states.main,
}  # fmt: skip
"""The parts that take a folder, by their names; each returns the number of its breaches."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
