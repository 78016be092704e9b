"""Neural style transfer by optimization: losses, optimizers, scales, tiles, regions."""
