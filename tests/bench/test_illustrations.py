"""The pictures of the documentation are painted by what its pages print."""

import subprocess
from pathlib import Path

import pytest
from bench import illustrations
from PIL import Image

PAGE = """
```python
from PIL import Image

Image.new("RGB", (40, 20), "red").save("red.png")
```

```sh
cp red.png copy.png
stylewatch --version
```

```console
$ rm red.png
```
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(illustrations, "PAGES", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", illustrations.ILLUSTRATIONS)
def test_each_picture_is_shown_on_its_page(page: str) -> None:
    text = (illustrations.PAGES / page).read_text(encoding="utf-8")
    shown = [name for name in illustrations.ILLUSTRATIONS[page] if f"(images/{name})" in text]
    assert shown == list(illustrations.ILLUSTRATIONS[page])


def test_a_page_is_run_as_printed_but_for_its_examples(folder: Path) -> None:
    (folder / "page.md").write_text(PAGE)
    assert illustrations.run_page("page.md")["Image"] is Image
    assert {path.name for path in folder.glob("*.png")} == {"red.png", "copy.png"}


def test_a_command_that_fails_ends_the_page(folder: Path) -> None:
    (folder / "page.md").write_text("```sh\nfalse\ntouch after\n```\n")
    with pytest.raises(subprocess.CalledProcessError):
        illustrations.run_page("page.md")
    assert not (folder / "after").exists()


def test_parts_of_pictures_are_put_side_by_side_and_below_each_other(folder: Path) -> None:
    for name, color in (("left", "red"), ("right", "blue")):
        Image.new("RGB", (40, 20), color).save(f"{name}.png")
    line = illustrations.files("left right", 16, (0.5, 0.5, 1, 1))
    assert line.size == (16 + illustrations.GAP + 16, 8)
    assert [line.getpixel((x, 4)) for x in (0, 17, 35)] == [
        (255, 0, 0), (255, 255, 255), (0, 0, 255)
    ]  # fmt: skip
    assert illustrations.column([line, line]).size == (line.width, 8 + illustrations.GAP + 8)
