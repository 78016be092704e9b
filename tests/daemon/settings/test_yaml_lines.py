"""Plain values of YAML files with their lines, limits of their size, and all mistakes at once."""

import time

import pytest

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.settings import yaml_lines

TOO_LARGE = "line 1: this is too large or too deep for settings"
MULTIPLYING = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)


def test_values_have_the_lines_of_their_keys_or_of_their_parents() -> None:
    document = yaml_lines.parse("steps: 5\nset:\n  tv: null\n  list:\n    - 1\n", "job.yaml")
    assert document.plain == {"steps": 5, "set": {"tv": None, "list": [1]}}
    lines = {("steps",): 1, ("set", "tv"): 3, ("set", "list", 0): 5, ("set", "other", "deep"): 2}
    assert {where: document.line(where) for where in lines} == lines
    assert yaml_lines.parse("", "job.yaml").line(("a",)) is None


def test_a_file_is_a_mapping_of_plain_values_in_utf_8() -> None:
    for text, plain in (
        ("", {}), ("# a comment\n", {}), ("name: 2024-01-31", {"name": "2024-01-31"}),
        ("a: &x {n: 1}\nb: *x\n", {"a": {"n": 1}, "b": {"n": 1}}),
        ("a: &x {n: 1, m: 2}\nb: {m: 3, <<: *x}\n", {"a": {"n": 1, "m": 2},
                                                     "b": {"n": 1, "m": 3}}),
    ):  # fmt: skip
        content = b"\xef\xbb\xbf" + text.encode()
        assert yaml_lines.parse_bytes(content, "job.yaml", 999).plain == plain
    with pytest.raises(SettingsError, match=r"job.yaml is not text in UTF-8"):
        yaml_lines.parse_bytes(b"name: \xff\n", "job.yaml", 999)
    for text, value in (
        ("640", 640), ("", None), ("=", "="), ("[1, 2]", [1, 2]), ("yes", True),
        ("0100", "0100"), ("12:30", "12:30"), ("-1_0", -10), ("0x1F", "0x1F"), ("1:30.", "1:30."),
        (" 1.5 ", 1.5), (".5", 0.5), ("-1.", -1.0), ("1.5e+3", 1500.0), ("[::1]:80", "[::1]:80"),
    ):  # fmt: skip
        assert yaml_lines.value(text) == value


@pytest.mark.parametrize(
    "text", ["wave #2", "# 2", "&co bar", "&co", "--- foo", "7 # seven", "foo ...", "a\n b", "*"]
)
def test_all_of_a_text_without_quotes_is_the_value(text: str) -> None:
    if text == "*":
        with pytest.raises(SettingsError, match="not YAML"):
            yaml_lines.value(text)
    else:
        assert yaml_lines.value(text) == text


@pytest.mark.parametrize(
    "text",
    ["'wave' #2", "[1, 2] # 3", "# 0\n[1]", "a: 1 # b", "--- [1]", "[1]\n...", "{a: [1, # 2\n 3]}"],
)
def test_a_value_with_something_beside_it_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="beside it, such as a comment") as refused:
        yaml_lines.value(text)
    assert text not in str(refused.value), "it may be a secret"


DOUBLING = "".join(
    f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(2))}, <<: *a{n - 1}}}\n" if n
    else "a0: &a0 {}\n" for n in range(40)
)  # fmt: skip
"""Mappings each of which has the one before three times."""


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("web: {a: 1}\nlisten:    [::1]:8787  # mine\n", {"web": {"a": 1}, "listen": "[::1]:8787"}),
        ("a: [::1]:80\r\nb: [::2]:81\r\n", {"a": "[::1]:80", "b": "[::2]:81"}),
        ("a: |\n  listen: [::1]:80\n", {"a": "listen: [::1]:80\n"}),
        ("a: 'x\n  listen: [::1]:80\n  y'\n", {"a": "x listen: [::1]:80 y"}),
    ],
)
def test_an_address_needs_no_quotes_and_other_text_stays(text: str, plain: object) -> None:
    assert yaml_lines.parse(text, "config.yaml").plain == plain


@pytest.mark.parametrize(
    "text",
    ["name: [" + ":" * 99_900, "a: [::1]:80" + " " * 99_000 + "x", "a: " + "[::1]:8" * 14_000,
     "a: [" + "\r" * 50_000],
)  # fmt: skip
def test_a_text_that_is_no_yaml_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(SettingsError):
        yaml_lines.parse(text, "job.yaml")
    assert time.process_time() - began < 2, "it was 5 s in a pattern of quadratic time"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s:\n  a: 1\n  a: 2\n", "line 3: 'a' occurs twice, first on line 2"),
        ("a: 1\nb: [1, 2\n", "line 3: this is not YAML"),
        ("- a\n", "should hold lines of `key: value`"),
        ("yes: a\n", 'line 1: a key should be text: write "yes", in quotes'),
        ("a: 1\n<<: [1]\n", "line 2: `<<` takes one mapping, such as `*name`"),
        ("a: &x {b: 1}\n<<: *x\n<<: *x\n", "line 1: `<<` takes one mapping"),
        ("a: &x {<<: *x}\n", "line 1: this is too large or too deep"),
        (DOUBLING, "line 2: this is too large or too deep"),
        ("a: 1\nb: !!python/object:os.system x\n", "line 2: settings have no tags"),
        ('a: 1\nb: "\\0"\n', "line 2: text cannot have the character U+0000"),
        (f"a: {'1' * 1001}\n", "line 1: a number has 1001 characters; the limit is 1000"),
        *((text, TOO_LARGE)
          for text in ("a: &x [*x]\n", MULTIPLYING, "[" * 5000, "a: [" + "1," * 20_000 + "]",
                       "a: " + "[" * 50 + "]" * 50)),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        yaml_lines.parse(text, "job.yaml")
    assert str(caught.value).startswith(f"job.yaml {message}")
