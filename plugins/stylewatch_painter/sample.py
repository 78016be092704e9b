"""A pair to try things with: `python -m stylewatch_painter.sample FOLDER` writes it there.

The photograph is one that Matplotlib carries, a portrait in the public domain; the painting is
drawn by this project.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from stylewatch_painter import landscape
from stylewatch_painter.errors import PictureError

PHOTOGRAPH = Path("mpl-data", "sample_data", "grace_hopper.jpg")
SEED = 7


def photograph() -> Path:
    """Where Matplotlib keeps its portrait; raises PictureError if it is not there."""
    package = find_spec("matplotlib")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        if (Path(folder) / PHOTOGRAPH).is_file():
            return Path(folder) / PHOTOGRAPH
    raise PictureError(
        f"Matplotlib is installed without its {PHOTOGRAPH.name}, which the sample pair takes as "
        "its photograph; put two pictures of your own into a folder as content.jpg and style.jpg."
    )


def write(folder: Path) -> None:
    """Write content.jpg and style.jpg into the folder, which is made where it is missing.

    Raises PictureError if the photograph is not to be found, OSError if nothing can be written.
    """
    content = photograph()
    folder.mkdir(parents=True, exist_ok=True)
    landscape.draw(SEED).save(folder / "style.jpg", quality=95, subsampling=0)
    shutil.copyfile(content, folder / "content.jpg")


def main(arguments: list[str]) -> int:
    """Write the pair into the folder named on the command line; exit code as in sysexits."""
    if len(arguments) != 1:
        print("Name one folder: python -m stylewatch_painter.sample FOLDER", file=sys.stderr)
        return 64
    try:
        write(Path(arguments[0]))
    except PictureError as error:
        print(error, file=sys.stderr)
        return 69
    except OSError as error:
        print(f"The sample pair cannot be written: {error}", file=sys.stderr)
        return 73
    print(f"A photograph and a painting lie in {arguments[0]}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
