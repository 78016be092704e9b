"""Reading and writing of pictures and clips: decoding, color, alpha, masks, encoding.

This package imports plain modules of the painter (errors, sizes, stages), and no network. Begin
with `read` and `encode`, then `encoding`, which defines how colors are converted to sRGB (law 17).
"""
