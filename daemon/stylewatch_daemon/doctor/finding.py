"""A finding of the doctor: fine, a note, or a problem that keeps the daemon from working."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The kinds of findings."""

    OK = "ok"
    NOTE = "note"
    """The daemon works, but not as well as it could, or not as one might expect."""
    PROBLEM = "problem"
    """The daemon does not work like this."""


@dataclass(frozen=True)
class Finding:
    """The `verdict` on `what` was checked, in `words`; `exit_code` is as in sysexits."""

    verdict: Verdict
    what: str
    words: str
    exit_code: int = 0


def ok(what: str, words: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(Verdict.OK, what, words)


def note(what: str, words: str) -> Finding:
    """Return a finding that does not keep the daemon from working."""
    return Finding(Verdict.NOTE, what, words)


def problem(what: str, words: str, exit_code: int) -> Finding:
    """Return a problem; `words` say what helps."""
    return Finding(Verdict.PROBLEM, what, words, exit_code)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the code of the first problem; 0 where there is none."""
    return next(
        (finding.exit_code for finding in findings if finding.verdict is Verdict.PROBLEM), 0
    )
