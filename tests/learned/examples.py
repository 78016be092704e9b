"""Learned styles with parameters that no training has changed."""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from stylewatch_daemon.app import learning_main
from stylewatch_learned import SUFFIX, learned_style, training
from stylewatch_learned.learned_style import About, LearnedStyle
from stylewatch_learned.network import StyleNetwork

PALETTE = ((120.0, 110.0, 100.0), (400.0, 0.0, 0.0), (0.0, 500.0, 0.0), (0.0, 0.0, 600.0))


def about(style: str = "5" * 64) -> About:
    return About(style, "waves.jpg", ("1" * 64,), 3, {"style": 0.5}, {"side": 64}, PALETTE)


def untrained(seed: int) -> StyleNetwork:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return StyleNetwork()


def written(name: str, seed: int = 0, style: str = "5" * 64) -> LearnedStyle:
    """Write a learned style into the owner's folder."""
    path = learned_style.folder() / f"{name}{SUFFIX}"
    learned_style.write(path, untrained(seed).tensors, about(style))
    return LearnedStyle.at(path)


def tampered(path: Path, old: bytes, new: bytes) -> None:
    """Replace some bytes of a file by others of the same length."""
    content = path.read_bytes()
    assert old in content and len(old) == len(new)
    path.write_bytes(content.replace(old, new))


def learn_in_short(pipe: Connection, *words: Any) -> None:
    """Learn as the daemon's child does, in a few steps."""
    training.FEWEST = training.MEASURED = 2
    learning_main.learn(pipe, *words)
