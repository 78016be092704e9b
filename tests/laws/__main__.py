"""Laws of painting, tried with plans at random: `python -m tests.laws`, or `make laws`.

Each law is tried with so many plans; for a broken one the smallest plan that was found is printed,
with the command that tries it again. It ends with 1 if any law is broken.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, seed, settings

EXAMPLES = 60
"""Number of plans by default."""

_MANY = 10
"""Number of plans from which a law must have painted at least half of them."""


def tried(law: Any, examples: int, start: int) -> tuple[int, int, str]:
    """Try a law; return how many plans were painted and drawn, and how it is broken, or "".

    A law that most plans do not go together with says little: it counts as broken.
    """
    count, drawn, last = 0, 0, ""

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(law.drawn)
    def attempt(plan: Any) -> None:
        nonlocal count, drawn, last
        drawn += 1
        try:
            law.check(plan)
        except hypothesis.errors.UnsatisfiedAssumption:
            raise
        except Exception:
            last = repr(plan)
            raise
        count += 1

    try:
        attempt()
    except Exception as error:
        return count, drawn, f"{type(error).__name__}: {error}\n    {last}"
    if drawn >= _MANY and 2 * count < drawn:
        return count, drawn, f"only {count} of {drawn} plans go together"
    return count, drawn, ""


def main(arguments: Sequence[str]) -> int:
    """Try the laws; print a line for each."""
    from tests.laws import plans
    from tests.laws.laws import LAWS

    parser = argparse.ArgumentParser(prog="python -m tests.laws", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of laws; all by default")
    parser.add_argument("--examples", type=int, default=EXAMPLES, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--plan", help="try this plan alone, as it was printed")
    options = parser.parse_args(arguments)
    broken = 0
    for law in LAWS:
        if options.names and law.name not in options.names:
            continue
        if options.plan:
            law.check(eval(options.plan, vars(plans)))
            print(f"{law.name}: holds")
            continue
        began = time.monotonic()
        count, drawn, wrong = tried(law, options.examples, options.seed)
        broken += bool(wrong)
        seconds = time.monotonic() - began
        verdict = "BROKEN" if wrong else "holds"
        print(f"{law.name}: {verdict} ({law.about}; {count} of {drawn} plans, {seconds:.0f} s)",
              flush=True)  # fmt: skip
        if wrong:
            print(f"    {wrong}\n    python -m tests.laws {law.name} --plan '...'", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="laws-home-") as home:
        for name in ("CACHE", "CONFIG", "DATA", "STATE"):  # read no caches of the user
            os.environ[f"XDG_{name}_HOME"] = str(Path(home) / name.lower())
        sys.exit(main(sys.argv[1:]))
