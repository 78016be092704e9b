"""A painting as losses see it: its task, sizes, pictures, regions, tiles and features.

- `task`, `scales`: a painting as plain values; its sizes, coarse to fine
- `canvas`: pictures in the size and units of the network, and the start
- `scene`: one size of a painting, from which losses take their targets
- `padding`, `tiles`, `regions`: the feature maps of a padded picture, of a tile, of a region
- `resample`: resampling of pictures as tensors
"""
