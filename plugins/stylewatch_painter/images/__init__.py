"""Reading and writing of pictures and clips: decoding, color, alpha, masks, encoding.

It imports plain modules of the painter (errors, sizes, stages), and no network. Begin with `read`
and `encode`, then `color`, the one reader of color (law 17).
"""
