"""Plain values of YAML files with their lines, limits of their size, and all mistakes at once."""

from pathlib import Path

import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.job import JobSettings


def refusal(text: str) -> str:
    """The message that refuses `text`."""
    with pytest.raises(SettingsError) as caught:
        yaml_lines.parse(text, "job.yaml")
    return str(caught.value)


def test_values_have_the_lines_of_their_keys() -> None:
    document = yaml_lines.parse("steps: 5\nset:\n  tv: null\n  passes:\n    - 1\n", "job.yaml")
    assert document.plain == {"steps": 5, "set": {"tv": None, "passes": [1]}}
    assert document.line(("steps",)) == 1
    assert document.line(("set", "tv")) == 3
    assert document.line(("set", "passes", 0)) == 5


def test_a_value_without_a_line_has_that_of_its_parent() -> None:
    document = yaml_lines.parse("a:\n  b: 1\n", "job.yaml")
    assert document.line(("a", "c", "d")) == 1
    assert yaml_lines.parse("", "job.yaml").line(("a",)) is None


@pytest.mark.parametrize("text", ["", "# nothing but words\n", "---\n", "{}"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    assert yaml_lines.parse(text, "job.yaml").plain == {}


def test_a_date_is_text() -> None:
    assert yaml_lines.parse("name: 2024-01-31", "job.yaml").plain == {"name": "2024-01-31"}


def test_an_alias_repeats_what_its_anchor_holds() -> None:
    document = yaml_lines.parse("a: &x {n: 1}\nb: *x\n", "job.yaml")
    assert document.plain == {"a": {"n": 1}, "b": {"n": 1}}


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbfsteps: 5\n")
    assert yaml_lines.read(path).plain == {"steps": 5}


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
    ],
)
def test_anything_but_a_plain_mapping_is_refused_with_its_line(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    assert refusal("a: &x [*x]\n") == "job.yaml line 1: this is too large or too deep for settings"


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "too large or too deep" in refusal("\n".join(lines))


def test_deep_and_long_lists_are_refused() -> None:
    assert "too large or too deep" in refusal("[" * 5000)
    assert "too large or too deep" in refusal("a: [" + "1," * 20_000 + "]")
    yaml_lines.parse("a: " + "[" * 49 + "]" * 49, "job.yaml")


def test_a_missing_file_or_one_that_is_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent.yaml cannot be read: No such file"):
        yaml_lines.read(tmp_path / "absent.yaml")
    (tmp_path / "job.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(SettingsError, match=r"job.yaml is not text in UTF-8"):
        yaml_lines.read(tmp_path / "job.yaml")


def test_every_mistake_has_its_line_and_the_nearest_key_or_the_new_one() -> None:
    document = yaml_lines.parse("seed: 1\nkeep: 1\nstepps: 5\nstrength: 3\nset: [1]\n", "job.yaml")
    with pytest.raises(SettingsError) as caught:
        yaml_lines.check(JobSettings, document)
    renamed, first, second, third = str(caught.value).splitlines()
    assert renamed == "job.yaml line 2: unknown key 'keep'; it is now called 'artifacts'"
    assert first == "job.yaml line 3: unknown key 'stepps'; did you mean 'steps'?"
    assert second.startswith("job.yaml line 4: strength: ")
    assert second.endswith(", got 3")
    assert third.startswith("job.yaml line 5: set: ")


@pytest.mark.parametrize(
    ("text", "value"),
    [("640", 640), ("640x480", "640x480"), ("null", None), ("", None), ("0.5", 0.5), ("=", "="),
     ("[1, 2]", [1, 2]), ("{conv4_2: 1}", {"conv4_2": 1}), ("yes", True)],
)  # fmt: skip
def test_a_single_value_is_parsed_as_in_a_file(text: str, value: object) -> None:
    assert yaml_lines.value(text) == value
