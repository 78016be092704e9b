"""Export of VGG16 and VGG19 as ONNX graphs, for runtimes other than torch."""
