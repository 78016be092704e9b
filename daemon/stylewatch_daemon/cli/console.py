"""How commands speak: results on stdout, everything else on stderr, broken pipes in silence."""

import json
import sys

BROKEN_PIPE = 141
"""The exit code of a program whose reader went away, as shells know it."""


def say(text: str) -> None:
    """A result, on stdout; where nobody reads any more, the command ends without a word."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise SystemExit(BROKEN_PIPE) from None


def say_json(plain: object) -> None:
    """A result as JSON on one line."""
    say(json.dumps(plain, ensure_ascii=False, default=str))


def note(text: str) -> None:
    """A remark on stderr, each line with the program's name; lost where nobody reads."""
    try:
        for line in text.splitlines():
            print(f"stylewatch: {line}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        return
