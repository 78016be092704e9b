"""The page in a real browser: `make test-browser`, or `python -m tests.browser firefox -k gallery`.

The first argument may be `chromium`, the default, or `firefox`; all others are pytest's.
"""

import os
import sys

import pytest
from tests.browser.browsers import PROGRAMS, obstacle

arguments = sys.argv[1:]
name = arguments.pop(0) if arguments[:1] and arguments[0] in PROGRAMS else "chromium"
if why := obstacle(name):
    print(f"no browser was started: {why}")
    sys.exit(0)
os.environ["STYLEWATCH_BROWSER"] = name  # else pytest collects none of these tests
sys.exit(pytest.main(["tests/browser", *arguments]))
