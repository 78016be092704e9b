"""A fake inspector that decodes nothing: every file counts as a picture unless a test says else."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from stylewatch_daemon.ingest.inspection.messages import CutOff, Fine, Question, Refused, Verdict
from stylewatch_daemon.model import Picture


@dataclass
class FakeInspector:
    """Answers at once; `says` has other verdicts, by the start of a file's text.

    While it is `silent` it keeps its verdicts back.
    """

    says: dict[str, str] = field(default_factory=dict)
    """`cut off`, or the reason of a refusal."""
    silent: bool = False
    asked: list[Question] = field(default_factory=list)
    closed: int = 0
    answered: int = 0
    trouble: str = ""

    def __post_init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None

    def ask(self, question: Question) -> None:
        self.asked.append(question)
        self.wake()

    def verdicts(self) -> list[Verdict]:
        if self.silent:
            return []
        answered, self.answered = self.answered, len(self.asked)
        return [self._verdict(question) for question in self.asked[answered:]]

    def close(self) -> None:
        self.closed += 1

    def _verdict(self, question: Question) -> Verdict:
        for path in question.files:
            text = path.read_text(errors="replace")
            reasons = (why for start, why in self.says.items() if text.startswith(start))
            if reason := next(reasons, ""):
                cut_off = CutOff(question.job, path.name, f"{path.name} is cut off")
                return cut_off if reason == "cut off" else Refused(question.job, reason)
        return Fine(
            question.job,
            tuple(
                Picture(path.name, sha256(path.read_bytes()).hexdigest(), (4, 4))
                for path in question.files
            ),
        )


def fake_inspector(wake: Callable[[], object], *_: Any, **__: Any) -> FakeInspector:
    """Make a fake in the place of an InspectionClient."""
    inspector = FakeInspector()
    inspector.wake = wake
    return inspector
