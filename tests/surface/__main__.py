"""`make surface`: try each setting on each way, then each command under odd conditions.

`python -m tests.surface [PART OF A KEY ...]` tries settings alone, `python -m tests.surface
commands [PART OF A COMMAND OR OF A CONDITION ...]` commands.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.surface import commands
from tests.surface.check import answers, breaches
from tests.surface.table import rows


def main(arguments: Sequence[str]) -> int:
    """Print each breach of a law; return 1 if there is one."""
    if arguments[:1] == ["commands"]:
        return commands.main(arguments[1:])
    found = try_settings(arguments)
    return found if arguments else found | commands.main([])


def try_settings(arguments: Sequence[str]) -> int:
    """Print each breach of a law by a setting; return 1 if there is one."""
    parser = argparse.ArgumentParser(prog="python -m tests.surface", description=__doc__)
    parser.add_argument("keys", nargs="*", help="parts of keys; all by default")
    options = parser.parse_args(arguments)
    tried, found = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as root:
        os.environ["HOME"] = root
        os.chdir(root)
        Path(root, "token").write_text("t" * 32)
        Path(root, "token").chmod(0o600)
        for row in rows():
            if options.keys and not any(part in row.key for part in options.keys):
                continue
            tried += 1
            for breach in breaches(row, answers(Path(root), row)):
                found[row.key] += 1
                print(f"{row.key}: {row.text}\n    {breach}", flush=True)
    print(f"{tried} texts of {len({row.key for row in rows()})} settings; {sum(found.values())} "
          f"breaches in {len(found)} settings")  # fmt: skip
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
