"""Write the sample pair into the folder named on the command line."""

import sys
from pathlib import Path

from stylewatch_painter.sample import write


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code, as in sysexits."""
    if len(arguments) != 1:
        print("Name one folder: python -m stylewatch_painter.sample FOLDER", file=sys.stderr)
        return 64
    try:
        write(Path(arguments[0]))
    except OSError as error:
        print(f"The sample pair cannot be written: {error}", file=sys.stderr)
        return 73
    print(f"Wrote content.jpg and style.jpg to {arguments[0]}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
