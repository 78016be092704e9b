"""Training: its steps, what it keeps, and how it goes on after a stop."""

import numpy as np
import pytest
import torch
from tests.painter import small

from stylewatch_learned import learning
from stylewatch_learned.learning import Learning, LearningSettings
from stylewatch_painter.errors import CheckpointError, DivergedError, PictureError
from stylewatch_painter.scene.task import Style
from stylewatch_painter.stage import Pixels

SMALL = LearningSettings(side=40, crop=32)
STEPS = 7


def smooth(seed: int) -> Pixels:
    """A photograph of 40x36 pixels."""
    draw = np.random.Generator(np.random.PCG64(seed))
    return np.repeat(np.repeat(draw.uniform(0, 255, (9, 10, 3)), 4, 0), 4, 1).astype(np.float32)


def new(photographs: int = 2, settings: LearningSettings = SMALL) -> Learning:
    pictures = [smooth(number) for number in range(photographs)]
    return Learning(Style(small.picture(5, 40, 36)), pictures, small.network(), STEPS, settings)


def trained(started: Learning) -> Learning:
    while started.step < started.steps:
        started.learn()
    return started


def test_a_stopped_training_goes_on_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_WINDOW", 3)
    whole = trained(new())
    for at in (1, 3, 5):
        stopped = new()
        for _ in range(at):
            stopped.learn()
        later = new()
        later.restore(stopped.save("these"), "these")
        trained(later)
        assert later.losses == whole.losses
        for one, other in ((later.network, whole.network), (later.best(), whole.best())):
            mine, others = one.tensors, other.tensors
            assert [mine[name].tobytes() for name in others] == [*map(bytes, others.values())]


def test_it_learns_and_keeps_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_WINDOW", 5)
    long = new()
    long.steps = 40
    seen = []
    while long.step < 35:
        long.learn()
        if long.step % 5 == 0:
            seen.append(long.losses["style"] + SMALL.content * long.losses["content"])
    assert seen == sorted(seen, reverse=True) and seen[-1] < 0.9 * seen[0]
    best, losses = long.best().tensors, long.losses
    for group in long._optimizer.param_groups:
        group["betas"] = (0.0, 0.0)
    monkeypatch.setattr(learning, "_RATE", 5.0)
    trained(long)
    assert long.losses == losses, "worse steps do not count"
    assert all(np.array_equal(best[name], value) for name, value in long.best().tensors.items())


def test_a_state_of_another_training_is_refused() -> None:
    saved = new().save("these")
    for other, identity, content in (
        (new(), "others", saved),
        (new(settings=LearningSettings(side=40, crop=32, content=2.0)), "these", saved),
        (new(), "these", saved[: len(saved) // 2]),
        (new(), "these", b""),
    ):
        with pytest.raises(CheckpointError, match=" "):
            other.restore(content, identity)
        other.learn()


def test_what_cannot_be_learned_is_refused() -> None:
    with pytest.raises(PictureError, match="no photograph"):
        new(photographs=0)
    for style, why in (
        (Style(small.picture(5, 40, 8), "thin.png"), "thin.png is too narrow"),
        (Style(smooth(5), "clear.png", mask=np.zeros((36, 40), np.float32)), "clear.png is wholly"),
    ):
        with pytest.raises(PictureError, match=why):
            Learning(style, [smooth(0)], small.network(), STEPS, SMALL)
    broken = new()
    broken._targets["conv1_1"].fill_(float("nan"))
    with pytest.raises(DivergedError, match="step 1"):
        broken.learn()


def test_transparent_parts_of_a_style_do_not_count() -> None:
    style, other = smooth(5), smooth(6)
    mask = np.zeros((36, 40), np.float32)
    mask[:, :20] = 1
    mixed = np.where(mask[..., None] > 0, style, other)
    whole, half, masked = (
        Learning(each, [style], small.network(), STEPS, SMALL)._targets["conv1_1"]
        for each in (Style(style), Style(mixed), Style(mixed, mask=mask))
    )
    left = Learning(
        Style(np.tile(style[:, :20], (1, 2, 1))), [style], small.network(), STEPS, SMALL
    )
    wanted = left._targets["conv1_1"]
    assert (masked - wanted).norm() < 0.3 * (half - wanted).norm()
    assert not torch.equal(masked, whole)


def test_the_content_counts_more_at_first() -> None:
    started, seen = new(), []
    while started.step < STEPS:
        seen.append(started._content_weight())
        started.learn()
    assert seen[0] == SMALL.first_content and seen == sorted(seen, reverse=True)
    assert seen[STEPS // 2 + 1 :] == [SMALL.content] * (STEPS - STEPS // 2 - 1)
