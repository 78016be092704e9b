"""Learned styles: a small network that paints in one style, and the training of such networks.

This package may import `stylewatch_painter` and `stylewatch_plugins`. They do not import it, but
find it by entry points, like a package of a third party. Begin with `network.StyleNetwork`;
`learning.Learning` trains it on photographs, and `backend.Learned` paints with it.
"""

SUFFIX = ".safetensors"
"""Suffix of the files of learned styles."""

SIDE, LONGEST_SIDE = 512, 4096
"""Default and maximum long side, in pixels, of the paintings for which a style is learned."""
