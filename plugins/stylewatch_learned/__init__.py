"""Learned styles: a small network that paints in one style, and the training of such networks.

This package may import `stylewatch_painter` and `stylewatch_plugins`, and is not imported by them:
it uses the doors that any package has. Begin with `network.StyleNetwork`; `learning.Learning`
trains it on photographs, and `backend.Learned` paints with it.
"""

SUFFIX = ".safetensors"
"""Ending of the files of learned styles."""

SIDE, LONGEST_SIDE = 512, 4096
"""Long side in pixels of the paintings that a style is learned for: the usual and the maximum."""
