"""What the doctor finds: fine, worth knowing, or to be mended, each with a sentence."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """`what` was looked at, and `words` on it; `exit_code` is as in sysexits."""

    verdict: Literal["ok", "note", "mend"]
    what: str
    words: str
    exit_code: int = 0


def ok(what: str, words: str) -> Finding:
    """All is well."""
    return Finding("ok", what, words)


def note(what: str, words: str) -> Finding:
    """The daemon works, though not as well as it could, or otherwise than one may think."""
    return Finding("note", what, words)


def mend(what: str, words: str, exit_code: int) -> Finding:
    """The daemon does not work like this; `words` say what helps."""
    return Finding("mend", what, words, exit_code)


def exit_code(findings: Iterable[Finding]) -> int:
    """That of the first thing to be mended; 0 where there is none."""
    return next((one.exit_code for one in findings if one.verdict == "mend"), 0)
