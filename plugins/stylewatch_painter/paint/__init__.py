"""Neural style transfer by optimization.

- `paint`, `state`: the loop over the steps and its reports; the contents of a checkpoint
- `objective`: the sum of all losses at one size, and its gradient
- `optimizers`, `lbfgs`: Adam, gradient descent, Fourier filters; L-BFGS with its line search
- `trial`: the time and memory of one evaluation at a small size
- `memory`, `memory_plan`: the tiles and histories that fit
- `forecast`: time and memory of a whole painting
"""
