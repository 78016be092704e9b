"""Export of VGG16 and VGG19 as ONNX graphs, for runtimes other than torch.

It imports the painter's network and the backends, and alone imports onnx. Begin with `cli`, then
`graph`.
"""
