"""Findings of the doctor: a success, a note, or a problem that keeps the daemon from working."""

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
    """Result of a check: the `verdict` on the thing `what`, explained in `words`.

    A problem has an `exit_code` of sysexits.h.
    """

    verdict: Verdict
    what: str
    words: str
    exit_code: int = 0


def ok(what: str, words: str) -> Finding:
    """Return the finding that `what` works, with details in `words`."""
    return Finding(Verdict.OK, what, words)


def note(what: str, words: str) -> Finding:
    """Return a finding about `what` that people should know, though the daemon works."""
    return Finding(Verdict.NOTE, what, words)


def problem(what: str, words: str, exit_code: int) -> Finding:
    """Return a problem with `what`; `words` say what is wrong and what helps.

    If `words` begin with the text of `what` and a colon, this beginning is cut off.
    """
    return Finding(Verdict.PROBLEM, what, words.removeprefix(f"{what}: "), exit_code)
