"""Neural style transfer by optimization: the loop, its checkpoints, and its memory.

It may import all other packages of the painter, and none of them imports it. Begin with `paint`.

- `paint`, `state`: the loop over the steps and its reports; the contents of a checkpoint
- `objective`: the sum of all losses at one size, and its gradient
- `trial`: the time and memory of one evaluation at a small size
- `memory`, `memory_plan`: the tiles and histories that fit
- `forecast`: time and memory of a whole painting
"""
