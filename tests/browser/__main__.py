"""The page in a real browser: `make test-browser`, or `python -m tests.browser -k gallery`."""

import os
import sys

import pytest
from tests.browser.browsers import obstacle

if why := obstacle():
    print(f"no browser was started: {why}")
    sys.exit(0)
os.environ["STYLEWATCH_BROWSER"] = "chromium"  # else pytest collects none of these tests
sys.exit(pytest.main(["tests/browser", *sys.argv[1:]]))
