"""Hypothesis strategies for what may lie in an inbox: texts of job.yaml, names, trees of files.

The live suite draws from them with `drawn`; quick tests use them in their own process.
"""

import json
from dataclasses import dataclass
from typing import Literal, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stylewatch_daemon.settings.job import JobSettings

Example = TypeVar("Example")

KEYS = sorted(JobSettings.model_fields)
TEXTS = ("name", "final", "backend", "recipe")
"""Keys whose values may be any text, so that odd text gets further than to a type error."""

TAGS = ("bool", "int", "float", "timestamp", "null", "binary", "omap", "pairs", "set", "str", "seq",
        "map", "merge", "value", "yaml", "python/object/apply:os.abort", "python/none")  # fmt: skip
ESCAPES = (r"\ud800", r"\udfff", r"\0", r"\x85", r"\u2028", r"\u202e", r"\ufeff", r"\uffff", r"\e",
           r"\n", r"\U0001f5ff")  # fmt: skip
MOST_DIGITS, MOST_PARTS, DEEPEST = 100_000, 4_000, 10_000


def drawn(strategy: SearchStrategy[Example], count: int, number: int) -> list[Example]:
    """Return `count` examples, the same for the same seed `number`."""
    found: list[Example] = []

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
        found.append(example)

    collect()
    return found


def words(most: int = 12) -> SearchStrategy[str]:
    """Return a strategy for plain text without line breaks."""
    return st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=most
    )


def huge_numbers() -> SearchStrategy[str]:
    """Return a strategy for numbers in every notation of YAML, of up to MOST_DIGITS digits."""
    # Digits between 30 and 1,000 are left out: a count that can be carried out may be a real wish.
    digits = st.integers(1_001, MOST_DIGITS)
    return st.one_of(
        st.builds(
            lambda base, many: base + "f1"[base == "0b"] * many,
            st.sampled_from(["0x", "0b", "-0x"]),
            digits,
        ),
        st.builds(lambda many: "0" + "7" * many, digits),
        st.builds(lambda first, many: f"{first}{'0' * many}", st.integers(-9, 9), digits),
        st.builds(
            lambda many, end: ":".join(["1", *["59"] * many]) + end,
            st.integers(1, MOST_PARTS),
            st.sampled_from(["", ".5", "."]),
        ),
        st.builds(lambda sign, power: f"1.0e{sign}{power}", st.sampled_from("+-"), digits),
        st.sampled_from([".inf", "-.inf", ".nan", "1e309", "_" * 5000, "1" + "_0" * 40_000, "0x"]),
    )


def tagged() -> SearchStrategy[str]:
    """Return a strategy for values with a tag, which mostly does not fit."""
    misfits = ["foo", '""', "[]", "{}", "[a, b]", "{a: b}", "2026-13-45", "1:99", "=", "~", ""]
    known = st.builds("!!{} {}".format, st.sampled_from(TAGS), st.sampled_from(misfits))
    shape = st.sampled_from(["!!{} {}", "!{} {}", "!<tag:yaml.org,2002:{}> {}", "!<{}> {}"])
    name = st.one_of(st.sampled_from(TAGS), st.text("abc!<>:,%", max_size=8))
    inner = st.one_of(st.sampled_from(misfits), words().map(json.dumps))
    return st.one_of(known, known, st.builds(str.format, shape, name, inner))


def escaped() -> SearchStrategy[str]:
    """Return a strategy for quoted text with surrogates, NUL and the like in it."""
    piece = st.one_of(st.sampled_from(ESCAPES), words().map(lambda text: json.dumps(text)[1:-1]))
    return st.lists(piece, min_size=1, max_size=5).map(lambda pieces: f'"{"".join(pieces)}"')


def odd_text() -> SearchStrategy[str]:
    """Return a strategy for text that means something to a program somewhere."""
    known = [
        "../../elsewhere", "/etc/passwd", "..", ".", "/", "{name!r:>99999999}", "{0.__class__}",
        "{", "}", "{name}" * 2000, "%s%n", "$(id)", "`id`", "-o", "<b>", "a" * 100_000, "con", "~",
    ]  # fmt: skip
    return st.sampled_from(known).map(json.dumps)


def nested() -> SearchStrategy[str]:
    """Return a strategy for values up to DEEPEST deep, and for such that repeat themselves."""
    depth = st.one_of(st.integers(1, 200), st.integers(1, DEEPEST))
    return st.one_of(
        st.builds(lambda many: "[" * many + "]" * many, depth),
        st.builds(lambda many: "{a: " * many + "}" * many, depth),
        st.builds(lambda many: "[" * many, depth),
        st.builds(lambda many: "- " * many + "a", depth).map(lambda text: f"\n  {text}"),
        st.builds(lambda many: "&a " * 2 + "*a " * many, depth),
        st.sampled_from(
            ["&a [*a]", "&a {*a : *a}", "{<<: [*b]}", "*nothing", anchors(9), anchors(40)]
        ),
    )


def anchors(levels: int) -> str:
    """Return a value in which each of so many levels repeats the one before nine times."""
    lines = ["&l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"&l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return f"[{', '.join(lines)}]"


def lines_of(values: SearchStrategy[str]) -> SearchStrategy[bytes]:
    """Return a strategy for documents in which keys have such values."""
    key = st.one_of(st.sampled_from(TEXTS), st.sampled_from(KEYS))
    line = st.builds("{}: {}".format, key, values)
    document = st.lists(line, min_size=1, max_size=3, unique_by=lambda text: text.partition(":")[0])
    return document.map(lambda found: "\n".join(found).encode("utf-8", "surrogatepass") + b"\n")


def odd_documents() -> SearchStrategy[bytes]:
    """Return a strategy for files that are not quite a document of UTF-8."""
    heads = [
        b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"---\n", b"%YAML 9.9\n---\n", b"\0",
        b"%TAG ! tag:x,2000:\n---\n", b"\t", b"? ", b"- ", b"\x1b[2J", b"#!/bin/sh\n",
    ]  # fmt: skip
    bodies = st.one_of(
        st.binary(max_size=200),
        words(40).map(lambda text: text.encode("utf-16")),
        words(40).map(lambda text: text.encode("utf-32")),
        st.sampled_from([
            b"k" * 100_000 + b": 1\n", b"? " + b"k" * 100_000 + b"\n: 1\n", b"#" * 100_000,
            b"seed: 1\r\nseed: 2\r", b"seed: 1\n" * 2000, b"seed: 1\n---\nseed: 2\n...\nx",
            b"seed", b"[seed, 1]", b"null", b"1: 2\n~: 3\n", b"[a, b]: c\n", b"{a: b}: c\n",
            b"=: 1\n<<: 2\n", b'"\\ud800": 1\n', b"seed: |\n" + b" " * 90_000, b"seed: >9999\n x",
            b"\x85seed: 1\xc2\x85",
        ]),
    )  # fmt: skip
    return st.builds(bytes.__add__, st.sampled_from(heads), bodies)


JOB_YAML: dict[str, SearchStrategy[bytes]] = {
    "tags": lines_of(tagged()),
    "huge numbers": lines_of(huge_numbers()),
    "surrogates and escapes": lines_of(escaped()),
    "odd text": lines_of(odd_text()),
    "deep nesting and anchors": lines_of(nested()),
    "odd documents": odd_documents(),
}
"""Kinds of job.yaml; whoever adds one has it tried in both suites."""

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
