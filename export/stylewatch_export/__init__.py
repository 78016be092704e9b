"""Export of VGG16 and VGG19 as ONNX graphs, for runtimes other than torch.

This package imports the painter's network and the backends; no other package imports onnx. Begin
with `cli`, then `graph`.
"""
