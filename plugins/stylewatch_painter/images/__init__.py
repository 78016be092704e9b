"""Reading and writing of pictures and clips: decoding, color, alpha, masks, encoding.

This package imports plain modules of the painter (errors, sizes, stages), and no network. Begin
with `read` and `encode`, then `encoding`, by which all colors become sRGB (law 17).
"""
