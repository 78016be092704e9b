"""VGG16, VGG19 and their weights, with convolutions compiled for the CPU.

This package imports torch, and no module of the painter that knows pictures or losses. Begin with
`vgg19`, then `weights`.
"""
