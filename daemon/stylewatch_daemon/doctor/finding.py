"""A finding of the doctor: fine, a note, or a problem that prevents the daemon from working."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Kind of a finding."""

    OK = "ok"
    NOTE = "note"
    """The daemon works, but not as well as it could, or not as expected."""
    PROBLEM = "problem"
    """The daemon does not work in this state."""


@dataclass(frozen=True)
class Finding:
    """The `verdict` on `what` was checked, in `words`; a problem has an `exit_code`.

    Exit codes are those of sysexits.h.
    """

    verdict: Verdict
    what: str
    words: str
    exit_code: int = 0


def ok(what: str, words: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(Verdict.OK, what, words)


def note(what: str, words: str) -> Finding:
    """Return a finding that does not prevent the daemon from working."""
    return Finding(Verdict.NOTE, what, words)


def problem(what: str, words: str, exit_code: int) -> Finding:
    """Return a problem with `what`; `words` say what helps.

    If they begin with `what:`, this beginning is cut off.
    """
    return Finding(Verdict.PROBLEM, what, words.removeprefix(f"{what}: "), exit_code)
