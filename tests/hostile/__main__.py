"""Hostile inputs against a real daemon: `python -m tests.hostile [WORD...]`, or `make hostile`.

Words choose the rows that have one of them. It ends with 1 where something is wrong.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from tests.hostile.trial import Result, all_cases, results
from tests.hostile.world import MB, Options


def row(result: Result) -> str:
    """Return what a case came to as a row of the table."""
    case = result.case
    if not result.tried:
        return f"| {case.family} | {case.name} | | | | not tried: takes root, and mounts |"
    seconds = "-" if result.seconds is None else f"{result.seconds:.1f}"
    disk = f"{max(0, result.grown) / MB:.1f} of {result.input / MB:.1f}"
    verdict = "; ".join(result.wrong).replace("|", "\\|").replace("\n", " ") or "holds"
    cells = (case.family, case.name, seconds, disk, f"{result.peak / MB:.0f}", verdict)
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> int:
    """Print the table, or the selected rows."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("words", nargs="*", help="try the cases with one of these words")
    parser.add_argument("--seed", type=int, default=0, help="of what is generated")
    parser.add_argument("--examples", type=int, default=25, help="generated for each such case")
    parser.add_argument("--within", type=float, default=15.0, help="seconds for the good pair")
    parser.add_argument("--list", action="store_true", help="only say what would be tried")
    options = parser.parse_args(arguments)
    cases = [
        case
        for case in all_cases()
        if not options.words or any(word in f"{case.family}, {case.name}" for word in options.words)
    ]
    if options.list:
        print("\n".join(f"{case.family}: {case.name}" for case in cases))
        return 0
    print(
        "| family | what was tried | good pair, s | disk, MB, of the input's | peak, MB | result |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    began, tried, failed = time.monotonic(), 0, 0
    for result in results(cases, Options(options.seed, options.examples, options.within)):
        print(row(result), flush=True)
        tried, failed = tried + result.tried, failed + bool(result.wrong)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{tried} cases in {minutes:.0f} minutes, {failed} of them with something wrong.")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # daemons and folders go then, too
    sys.exit(main(sys.argv[1:]))
