"""The page in a real browser: `make test-browser`, or `python -m tests.browser -k gallery`."""

import os
import sys

import pytest
from tests.browser.chromium import obstacle

WANTED = "STYLEWATCH_BROWSER"
"""What must be set that pytest collects these tests: by themselves they take minutes."""


def main(arguments: list[str]) -> int:
    """Run the tests; 0 also where there is no browser to run them in."""
    if why := obstacle():
        print(f"no browser was started: {why}")
        return 0
    os.environ[WANTED] = "yes"
    return pytest.main(["tests/browser", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
