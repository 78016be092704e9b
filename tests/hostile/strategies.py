"""Hypothesis strategies for what may lie in an inbox: texts of job.yaml, names, trees of files."""

import json
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stylewatch_daemon.settings.job import JobSettings

Example = TypeVar("Example")

KEYS = ("name", "final", "backend", "recipe", *JobSettings.model_fields)
"""The first may be any text, so that odd text gets further than to a type error."""


def drawn(strategy: SearchStrategy[Example], count: int, number: int) -> list[Example]:
    """Return `count` examples, the same for the same seed `number`."""
    found: list[Example] = []

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy)
    def collect(example: Example) -> None:
        found.append(example)

    collect()
    return found


def anchors(levels: int) -> str:
    """Return a value in which each of so many levels repeats the one before nine times."""
    lines = ["&l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"&l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return f"[{', '.join(lines)}]"


TAGS = ("bool", "int", "float", "timestamp", "null", "binary", "omap", "set", "str", "seq", "map",
        "merge", "value", "python/object/apply:os.abort", "python/none")  # fmt: skip
MISFITS = ("foo", '""', "[]", "{}", "[a, b]", "{a: b}", "2026-13-45", "1:99", "=", "~", "")
SHAPES = ("!!{} {}", "!{} {}", "!<tag:yaml.org,2002:{}> {}", "!<{}> {}")
ESCAPES = (r"\ud800", r"\udfff", r"\0", r"\x85", r"\u2028", r"\u202e", r"\ufeff", r"\uffff", r"\e",
           r"\n", r"\U0001f5ff")  # fmt: skip
NUMBERS = (".inf", "-.inf", ".nan", "1e309", "_" * 5000, "1" + "_0" * 40_000, "0x")
ODD_TEXTS = ("../../elsewhere", "/etc/passwd", "..", "/", "{name!r:>99999999}", "{0.__class__}",
             "{name}" * 2000, "%s%n", "$(id)", "-o", "<b>", "a" * 100_000, "~")  # fmt: skip
NESTED = ("&a [*a]", "&a {*a : *a}", "{<<: [*b]}", "*nothing", anchors(9), anchors(40))
HEADS = (b"", b"\xef\xbb\xbf", b"\xff\xfe", b"---\n", b"%YAML 9.9\n---\n", b"\0", b"\t", b"? ",
         b"- ", b"\x1b[2J", b"%TAG ! tag:x,2000:\n---\n")  # fmt: skip
BODIES = (b"k" * 100_000 + b": 1\n", b"? " + b"k" * 100_000 + b"\n: 1\n", b"seed: 1\r\nseed: 2\r",
          b"seed: 1\n---\nseed: 2\n...\nx", b"[seed, 1]", b"null", b"1: 2\n~: 3\n", b"[a, b]: c\n",
          b"=: 1\n<<: 2\n", b'"\\ud800": 1\n', b"seed: |\n" + b" " * 90_000,
          b"seed: >9999\n x", "seed: 1\n".encode("utf-16"))  # fmt: skip

DIGITS = st.integers(1_001, 100_000)
"""Fewer could be carried out: a count of them may be a real wish."""


def documents(*values: SearchStrategy[str]) -> SearchStrategy[bytes]:
    """Return a strategy for documents in which keys have such values."""
    line = st.builds("{}: {}".format, st.sampled_from(KEYS), st.one_of(*values))
    lines = st.lists(line, min_size=1, max_size=3, unique_by=lambda text: text.partition(":")[0])
    return lines.map(lambda found: "\n".join(found).encode("utf-8", "surrogatepass") + b"\n")


def repeated(text: str, most: int, last: str = "", after: str = "") -> SearchStrategy[str]:
    """Return a strategy for `text` up to `most` times, with `last` as often, and then `after`."""
    return st.integers(1, most).map(lambda many: text * many + last * many + after)


JOB_YAML: dict[str, SearchStrategy[bytes]] = {
    "tags": documents(
        st.builds(str.format, st.sampled_from(SHAPES), st.sampled_from(TAGS),
                  st.sampled_from(MISFITS) | st.text(max_size=12).map(json.dumps))),
    "huge numbers": documents(
        st.sampled_from(NUMBERS), repeated("1:", 4_000, after="59.5"),
        st.builds(lambda first, digit, many: first + digit * many,
                  st.sampled_from(["0x1", "-0xf", "0b1", "07", "-9", "1.0e1", "1.0e-1"]),
                  st.sampled_from("01"), DIGITS)),
    "odd text": documents(
        st.sampled_from(ODD_TEXTS).map(json.dumps),
        st.lists(st.sampled_from(ESCAPES) | st.text("abc", max_size=3), min_size=1, max_size=5)
        .map(lambda pieces: f'"{"".join(pieces)}"')),
    "deep nesting and anchors": documents(
        st.sampled_from(NESTED), repeated("[", 10_000, "]"), repeated("[", 10_000),
        repeated("{a: ", 10_000, "}"), repeated("*a ", 10_000),
        repeated("- ", 10_000, after="a").map(lambda text: f"\n  {text}")),
    "odd documents": st.builds(
        bytes.__add__, st.sampled_from(HEADS), st.binary(max_size=200) | st.sampled_from(BODIES)),
}  # fmt: skip
"""Kinds of job.yaml; whoever adds one has it tried in both suites."""

PARTS = (
    b"content.jpg", b"style.jpg", b"style-1.jpg", b"style-99999999999.jpg", b"job.yaml",
    b"content.mask.png", b"init.png", b"a.content.jpg", b"a.style.jpg", b".content.jpg",
    b"..content.jpg", b"content.jpg.", b"CONTENT.JPG", b"receipt.json",
)  # fmt: skip
ODD_NAMES = (
    b"\n", b"\x1b[31m", b"\xff\xfe", b"\xe2\x80\xae", b"\xed\xa0\x80", b" ", b"-o", b"--", b"..",
    b"~", b"%s", b"{name}", b"$HOME", b"'", b'"', b"\\", b"\xcc\x81", b"\xf0\x9f\x97\xbf",
    b"\xc3\x9f", b"\xc4\xb0", b"x" * 250,
)  # fmt: skip


def names() -> SearchStrategy[bytes]:
    """Return a strategy for every name that a file may have: 1 to 255 bytes, no slash, no NUL."""
    piece = st.sampled_from((*ODD_NAMES, *PARTS)) | st.binary(max_size=6)
    name = st.sampled_from(PARTS) | st.lists(piece, max_size=4).map(b"".join)
    clean = name.map(lambda text: text.translate(None, b"/\0")[-255:])
    return clean.filter(lambda text: text not in (b"", b".", b".."))


def trees() -> SearchStrategy[list[tuple[bytes, ...]]]:
    """Return a strategy for small trees of files under every name: the paths of the files."""
    way = st.lists(names(), min_size=1, max_size=4).map(tuple)
    return st.lists(way, min_size=1, max_size=8)
