"""Intake that decodes nothing: what is no picture is fine as well, unless it is told otherwise."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from stylewatch_daemon.ingest.inspection.messages import CutOff, Fine, Question, Refused, Verdict
from stylewatch_daemon.model import Picture


@dataclass
class FakeInspector:
    """Answers at once; `says` has other answers in store, by the start of a file's text.

    Where it is `silent` it answers only when it speaks again.
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
        return [self._verdict(one) for one in self.asked[answered:]]

    def close(self) -> None:
        self.closed += 1

    def _verdict(self, question: Question) -> Verdict:
        for path in question.files:
            text = path.read_text(errors="replace")
            said = next((said for start, said in self.says.items() if text.startswith(start)), "")
            if said:
                cut_off = CutOff(question.job, path.name, f"{path.name} is cut off")
                return cut_off if said == "cut off" else Refused(question.job, said)
        return Fine(
            question.job,
            tuple(
                Picture(path.name, sha256(path.read_bytes()).hexdigest(), (4, 4))
                for path in question.files
            ),
        )


def fake_inspector(wake: Callable[[], object], *_: Any, **__: Any) -> FakeInspector:
    """In the place of the class of the real one."""
    intake = FakeInspector()
    intake.wake = wake
    return intake
