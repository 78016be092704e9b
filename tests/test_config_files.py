"""The files of settings that people edit: each line in a comment is right once it is one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from stylewatch_daemon.cli import service
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.sections import WebSettings

ROOT = Path(__file__).parents[1]
SETTING = re.compile(r"# ( *)([a-z_]+):( |$)")
"""Pattern of a setting in a comment, with the depth that it has without."""

WRITTEN = service.settings_below(Path("/srv/a"), Path("/srv/a/state"))
PAGE = WebSettings(listen="10.0.0.7:8787", token_file=Path("/srv/a/token"))
FILES = {
    "config.yaml": (ROOT / "config.yaml").read_text(encoding="utf-8"),
    "container/config.yaml": (ROOT / "container/config.yaml").read_text(encoding="utf-8"),
    "by init": service.as_yaml(WRITTEN),
    "by init, with a page": service.as_yaml(
        service.settings_below(Path("/srv/a"), Path("/srv/a/state"), PAGE)
    ),
}


def chosen(lines: list[str]) -> Iterator[set[int]]:
    """Yield the numbers of each setting in a comment with those of the comments above it."""
    above: dict[int, int] = {}
    for number, line in enumerate(lines):
        if match := SETTING.match(line):
            depth = len(match[1])
            above = {other: place for other, place in above.items() if other < depth}
            above[depth] = number
            if line.partition(":")[2].strip():  # a section alone has no settings
                yield {*above.values()}
        elif not line.startswith("#"):
            above = {}


@pytest.mark.parametrize("name", FILES)
def test_each_setting_in_a_comment_is_valid_without_the_mark(name: str, tmp_path: Path) -> None:
    lines, file = FILES[name].splitlines(), tmp_path / "config.yaml"
    ways = [set[int](), *chosen(lines)]
    assert len(ways) > 3 or name == "config.yaml", "that file has everything"
    for numbers in (*ways, set[int]().union(*ways)):
        text = [line[2:] if number in numbers else line for number, line in enumerate(lines)]
        file.write_text("\n".join(text), encoding="utf-8")
        config.load(file)


def test_the_variable_in_compose_is_a_setting() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ +# (STYLEWATCH_\w+: .*)$", text, re.MULTILINE)
    variables = {name: str(value) for name, value in yaml.safe_load(line).items()}
    assert config.from_environment(variables) == {"job.size": 1024}
