"""The pictures of the documentation are painted by what its pages print."""

import pytest
from bench import illustrations


@pytest.mark.parametrize("page", illustrations.ILLUSTRATIONS)
def test_each_picture_is_shown_on_its_page(page: str) -> None:
    text = (illustrations.PAGES / page).read_text(encoding="utf-8")
    assert [
        name for name in illustrations.ILLUSTRATIONS[page] if f"(images/{name})" not in text
    ] == []
