"""The room for graphs: where VGG19's feature layers leave torch for other runtimes."""
