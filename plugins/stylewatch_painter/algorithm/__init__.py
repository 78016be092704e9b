"""Neural style transfer by optimization.

- `task`, `scales`: a painting as plain values; its sizes, coarse to fine
- `paint`, `state`: the loop over the steps, reports; what a checkpoint contains
- `objective`: loss terms and gradient of a picture at one size; the targets P and A
- `gram`, `losses`: the Gram matrix; content, style and smoothness losses by the paper's letters
- `neighbors`, `transport`: losses that compare positions: nearest neighbors, optimal transport
- `tiles`: tiles of large pictures, the sums over their feature maps
- `padding`: padding of the network, and the feature maps of a padded picture
- `regions`: the regions of masks, in pictures and in feature maps
- `optimizers`, `lbfgs`: Adam, gradient descent, Fourier filters; L-BFGS with its line search
- `canvas`: pictures in the size and units of the network, and the start
- `caches`: style sums in memory and on disk, the network used last
- `memory_plan`: memory by formulas, and the tiles and histories that fit
- `forecast`: time, from evaluations at small sizes, and memory
"""
