"""Hypothesis strategies for what may lie in an inbox: names, and trees of files."""

from dataclasses import dataclass
from typing import Literal, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Example = TypeVar("Example")


def drawn(strategy: SearchStrategy[Example], count: int, number: int) -> list[Example]:
    """Return `count` examples, the same for the same seed `number`."""
    examples: list[Example] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Example) -> None:
        examples.append(example)

    collect()
    return examples


PARTS = (
    b"content.jpg", b"style.jpg", b"style-1.jpg", b"style-99999999999.jpg", b"job.yaml",
    b"content.mask.png", b"init.png", b"a.content.jpg", b"a.style.jpg", b".content.jpg",
    b"..content.jpg", b"content.jpg.", b"CONTENT.JPG", b"receipt.json",
)  # fmt: skip


def names() -> SearchStrategy[bytes]:
    """Return a strategy for every name that a file may have: 1 to 255 bytes, no slash, no NUL."""
    odd = st.sampled_from([
        b"\n", b"\x1b[31m", b"\xff\xfe", b"\xe2\x80\xae", b"\xed\xa0\x80", b" ", b"-o", b"--",
        b"..", b"~", b"%s", b"{name}", b"$HOME", b"'", b'"', b"\\", b"\xcc\x81",
        b"\xf0\x9f\x97\xbf", b"\xc3\x9f", b"\xc4\xb0",
    ])  # fmt: skip
    pieces = st.lists(st.one_of(odd, st.binary(max_size=6), st.sampled_from(PARTS)), max_size=4)
    name = st.one_of(
        st.sampled_from(PARTS),
        pieces.map(b"".join),
        st.builds(
            lambda part, many: b"x" * many + part, st.sampled_from(PARTS), st.integers(0, 300)
        ),
    )
    clean = name.map(lambda text: text.translate(None, b"/\0")[-255:])
    return clean.filter(lambda text: text not in (b"", b".", b".."))


What = Literal["content", "style", "nothing", "text", "link", "loop", "pipe", "folder"]


@dataclass(frozen=True)
class Leaf:
    """Something in a tree, below the folders `way`."""

    way: tuple[bytes, ...]
    what: What


def trees() -> SearchStrategy[list[Leaf]]:
    """Return a strategy for small trees of files of every kind under every name."""
    kinds: list[What] = ["content", "style", "nothing", "text", "link", "loop", "pipe", "folder"]
    way = st.lists(names(), min_size=1, max_size=4).map(tuple)
    leaf = st.builds(Leaf, way, st.sampled_from(kinds))
    return st.lists(leaf, min_size=1, max_size=8)
