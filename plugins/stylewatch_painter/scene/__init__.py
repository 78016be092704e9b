"""A painting as the losses see it: its task, sizes, pictures, regions, tiles and features.

It imports recipes, losses, network and images, and does not paint. Begin with `task`.

- `task`, `scales`: a painting as plain values; its sizes, coarse to fine
- `canvas`: pictures in the size and units of the network, and the initial picture
- `scene`: a painting at one size, from which losses compute their targets
- `padding`, `tiles`: feature maps of a padded picture, and of a tile
"""
