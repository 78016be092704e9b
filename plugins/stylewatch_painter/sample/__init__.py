"""A photograph and a painting for first experiments, written by `stylewatch sample`.

Both are in the public domain; NOTICE names their origin. It imports nothing of stylewatch.
"""

from pathlib import Path

CONTENT = Path(__file__).with_name("content.jpg")
"""A rocket launch at night, 640x427 pixels."""

STYLE = Path(__file__).with_name("style.jpg")
"""The Starry Night, 640x507 pixels."""
