"""VGG16, VGG19 and their weights, with convolutions compiled for the CPU.

It imports torch, and of the painter nothing that knows pictures or losses. Begin with `vgg19`, then
`weights`.
"""
