"""Export of VGG19 as ONNX graphs, for other runtimes than torch."""
