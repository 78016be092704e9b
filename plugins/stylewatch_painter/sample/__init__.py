"""A photograph and a painting for first experiments, written by `stylewatch sample`.

Both are in the public domain; NOTICE names their origin.
"""

import shutil
from pathlib import Path

CONTENT = Path(__file__).with_name("content.jpg")
"""A rocket launch at night, 640x427 pixels."""

STYLE = Path(__file__).with_name("style.jpg")
"""The Starry Night, 640x507 pixels."""


def write(folder: Path) -> None:
    """Copy content.jpg and style.jpg into `folder`, which is created if it is missing.

    Raises OSError if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for picture in (CONTENT, STYLE):
        shutil.copyfile(picture, folder / picture.name)
