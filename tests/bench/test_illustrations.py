"""The pictures of the documentation are painted by what its pages print."""

from pathlib import Path

import pytest
from bench import illustrations

PAGE = """
```python
from PIL import Image

Image.new("RGB", (40, 20), "red").save("red.png")
```

```sh
cp red.png copy.png
```

```console
$ rm red.png
```

```sh
false
touch after
```
"""


@pytest.mark.parametrize("page", illustrations.ILLUSTRATIONS)
def test_each_picture_is_shown_on_its_page(page: str) -> None:
    text = (illustrations.PAGES / page).read_text(encoding="utf-8")
    assert [
        name for name in illustrations.ILLUSTRATIONS[page] if f"(images/{name})" not in text
    ] == []


def test_a_page_is_run_as_printed_up_to_the_first_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(illustrations, "PAGES", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text(PAGE)
    with pytest.raises(RuntimeError, match="touch after"):
        illustrations.run_page("page.md")
    assert {path.name for path in tmp_path.iterdir()} == {"page.md", "red.png", "copy.png"}
