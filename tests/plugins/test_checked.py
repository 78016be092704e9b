"""A painting is checked while the backend paints."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stylewatch_painter.errors import DivergedError
from stylewatch_plugins import checked
from stylewatch_plugins.contract import Stage, Step, Task, Wish
from stylewatch_plugins.errors import BackendFaultError
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import sample

Change = Callable[[Step], Step | None]


class Changed(Sketch):
    """The sketch with changed steps; it ends at the first step that the change makes None."""

    def __init__(self, change: Change) -> None:
        super().__init__({})
        self._change = change

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        for step in super().paint(task, wish):
            changed = self._change(step)
            if changed is None:
                return
            yield changed


def with_picture(change: Callable[[Any], Any]) -> Change:
    def changed(step: Step) -> Step:
        return replace(step, picture=change(step.picture)) if isinstance(step, Stage) else step

    return changed


def with_total(total: float) -> Change:
    return lambda step: replace(step, losses=replace(step.losses, total=total))


def with_terms(value: float) -> Change:
    def changed(step: Step) -> Step:
        content = {name: replace(term, value=value) for name, term in step.losses.content.items()}
        return replace(step, losses=replace(step.losses, content=content))

    return changed


def with_values(value: float) -> Change:
    def changed(picture: Any) -> Any:
        picture[0, 0, 0] = value
        return picture

    return with_picture(changed)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda step: None, BackendFaultError, "ended before its first step"),
        (lambda step: step if step.step < 3 else None, BackendFaultError, "after step 2 of 5"),
        (lambda step: step if step.step < 5 else None, BackendFaultError, "after step 4 of 5"),
        (with_values(np.nan), BackendFaultError, "step 2 has values that are not numbers"),
        (with_values(-np.inf), BackendFaultError, "step 2 has values that are not numbers"),
        (with_picture(lambda p: p[1:]), BackendFaultError, r"is \(17, 24, 3\), not \(18, 24, 3\)"),
        (with_picture(lambda p: p.astype(float)), BackendFaultError, "float64, not float32"),
        (with_picture(bytes), BackendFaultError, r"is bytes, not \(18, 24, 3\)"),
        (with_total(np.nan), DivergedError, "a loss is no longer a number at step 1"),
        (with_total(np.inf), DivergedError, "a loss is no longer a number at step 1"),
        (with_terms(np.nan), DivergedError, "a loss is no longer a number at step 1"),
    ],
)
def test_what_breaks_the_contract_ends_the_painting(
    change: Change, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        list(checked.paint(Changed(change), sample(), lambda: Wish.GO_ON))
    if error is BackendFaultError:
        assert str(raised.value).startswith("a fault of the backend 'sketch' of stylewatch: ")


@pytest.mark.parametrize("wish", [Wish.STOP, Wish.FINISH])
def test_an_end_that_was_asked_for_is_none(wish: Wish) -> None:
    *_, last = checked.paint(Sketch({}), sample(), lambda: wish)
    assert last.step == 1
