"""Plain values of YAML files with their lines, limits of their size, and all mistakes at once."""

from pathlib import Path

import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.job import JobSettings

TOO_LARGE = "this is too large or too deep for settings"
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


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        *((text, {}) for text in ("", "# a comment\n", "---\n", "{}")),
        ("name: 2024-01-31", {"name": "2024-01-31"}),
        ("a: &x {n: 1}\nb: *x\n", {"a": {"n": 1}, "b": {"n": 1}}),
    ],
)
def test_a_file_is_a_mapping_of_plain_values(text: str, plain: object, tmp_path: Path) -> None:
    assert yaml_lines.parse(text, "job.yaml").plain == plain
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert yaml_lines.read(path).plain == plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "job.yaml line 3: 'a' is there twice, first on line 1"),
        ("s:\n  a: 1\n  a: 2\n", "job.yaml line 3: 'a' is there twice, first on line 2"),
        ("a: 1\nb: [1, 2\n", "job.yaml line 3: this is not YAML"),
        ("a: 1\n\tb: 2\n", "job.yaml line 2: this is not YAML"),
        ("a: 1\n---\nb: 2\n", "job.yaml line 2: this is not YAML"),
        ("- a\n", "job.yaml should hold lines of `key: value`"),
        ("just words\n", "job.yaml should hold lines of `key: value`"),
        ("1: a\n", "job.yaml line 1: a key should be text, got 1"),
        ("<<: {a: 1}\n", "job.yaml line 1: `<<` is not supported"),
        ("a: 1\nb: !!python/object:os.system x\n", "job.yaml line 2: settings have no tags"),
        ("a: !!python/object/apply:os.system [x]\n", "job.yaml line 1: settings have no tags"),
        ("a: !!int x\n", "job.yaml line 1: settings have no tags, got '!!int': write the value"),
        ("a: ! x\n", "job.yaml line 1: settings have no tags, got '!'"),
        ("!!map {a: 1}\n", "job.yaml line 1: settings have no tags, got '!!map'"),
        ("a: 1\nb: \x00\n", "job.yaml line 2: this is not YAML: text cannot have the character"),
        ('a: 1\nb: "\\0"\n', "job.yaml line 2: text cannot have the character U+0000"),
        ("a: 0b_\n", "job.yaml line 1: '0b_' cannot be read as int"),
        (f"a: {'1' * 1001}\n", "job.yaml line 1: a number has 1001 characters; the limit is 1000"),
        ("a: &x [*x]\n", f"job.yaml line 1: {TOO_LARGE}"),
        (MULTIPLYING, f"job.yaml line 1: {TOO_LARGE}"),
        ("[" * 5000, f"job.yaml line 1: {TOO_LARGE}"),
        ("a: [" + "1," * 20_000 + "]", f"job.yaml line 1: {TOO_LARGE}"),
        ("a: " + "[" * 50 + "]" * 50, f"job.yaml line 1: {TOO_LARGE}"),
    ],
)
def test_anything_else_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        yaml_lines.parse(text, "job.yaml")
    assert str(caught.value).startswith(message)


def test_a_deep_list_is_accepted_up_to_the_limit() -> None:
    yaml_lines.parse("a: " + "[" * 49 + "]" * 49, "job.yaml")


def test_a_file_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent.yaml cannot be read: No such file"):
        yaml_lines.read(tmp_path / "absent.yaml")
    (tmp_path / "job.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(SettingsError, match=r"job.yaml is not text in UTF-8"):
        yaml_lines.read(tmp_path / "job.yaml")


def test_every_mistake_has_its_line_in_the_order_of_lines() -> None:
    document = yaml_lines.parse("keep: 1\n\nstepps: 5\nstrength: 3\nset: [1]\n", "job.yaml")
    with pytest.raises(SettingsError) as caught:
        yaml_lines.check(JobSettings, document)
    renamed, unknown, *wrong = str(caught.value).splitlines()
    assert renamed == "job.yaml line 1: unknown key 'keep'; it is now called 'artifacts'"
    assert unknown == "job.yaml line 3: unknown key 'stepps'; did you mean 'steps'?"
    assert [line.rpartition(": ")[0] for line in wrong] == [
        "job.yaml line 4: strength", "job.yaml line 5: set",
    ]  # fmt: skip
    assert wrong[0].endswith(", got 3")


@pytest.mark.parametrize(
    ("text", "value"),
    [("640", 640), ("640x480", "640x480"), ("null", None), ("", None), ("0.5", 0.5), ("=", "="),
     ("[1, 2]", [1, 2]), ("{conv4_2: 1}", {"conv4_2": 1}), ("yes", True)],
)  # fmt: skip
def test_a_single_value_is_parsed_as_in_a_file(text: str, value: object) -> None:
    assert yaml_lines.value(text) == value
