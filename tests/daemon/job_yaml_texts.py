"""Hypothesis strategies for the text of a job.yaml, well-formed or hostile."""

import json

from hypothesis import strategies as st

from stylewatch_daemon.settings.job import JobSettings

TAGS = ("", "!!bool ", "!!int ", "!!float ", "!!timestamp ", "!!binary ", "!!set ", "!!omap ",
        "!!pairs ", "!!null ", "!!str ", "!x ", "! ", "!!python/name:os.system ")  # fmt: skip

ODD_TEXTS = (
    '"a\\ud800"', '"a\\0"', '"\\x1b[31m"', '"\\uFFFE"', "'\u2028'", "=", "<<", "*a", "&a", "~", "@",
    ".inf", "-.INF", ".nan", "1e400", "1.0e+400", "-0.0", "0b_", "0x_", "0o7", "1_", "-", "?", ":",
    "1:1", "2024-01-31", "9223372036854775808", "1e30mp", "99999999999x2", "999999x999999", "0mp",
    "../x.yaml", "/dev/zero", "{name}", "{",
)  # fmt: skip
"""Scalars that some parser, number or file name cannot hold."""

LONG = [("3", ""), ("0xf", "f"), ("0b1", "1"), ("1", "0"), ("1:1", ":1"), ("1.5", "5"),
        ("a/", "a/"), ("a", "x"), ("a.", "b.")]  # fmt: skip
"""How long scalars begin, and how they go on."""

KEYS = st.sampled_from(
    [*JobSettings.model_fields, "stages.size", "stepps", "mask.feather", "objective.tv.weight",
     "1", "null", '"\\0"', '"\\ud800"']
)  # fmt: skip

_SCALARS = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.integers().map(str),
    st.builds(
        lambda ends, count, last: ends[0] + ends[1] * count + last,
        st.sampled_from(LONG),
        st.integers(1, 9000),
        st.sampled_from(["", ".5"]),
    ),
    st.floats().map(repr),
    st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=True)),
    st.text(max_size=12),
    st.sampled_from(["yes", "no", "null", "png", "webp", "16", "content", "style", "0.5", "640"]),
)

_TAGGED = st.builds(lambda tag, text: tag + text, st.sampled_from(TAGS), _SCALARS)


def _flow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(inner, max_size=4).map(lambda all_: f"[{', '.join(all_)}]")
    maps = st.lists(st.tuples(KEYS, inner), max_size=4).map(
        lambda all_: "{" + ", ".join(f"{key}: {value}" for key, value in all_) + "}"
    )
    return lists | maps


VALUES = st.recursive(_TAGGED, _flow, max_leaves=8)


def _nested(pair: tuple[str, int]) -> str:
    brackets, depth = pair
    return f"set: {brackets[0] * depth}{brackets[1] * depth}"


_LINES = st.builds(lambda key, value: f"{key}: {value}", KEYS, VALUES)

JOB_TEXTS = st.one_of(
    st.lists(_LINES, max_size=5).map("\n".join),
    st.tuples(st.sampled_from(["[]", "{}"]), st.integers(1, 3000)).map(_nested),
    st.text(max_size=200),
)
"""The text of a job.yaml."""
