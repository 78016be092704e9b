"""VGG16, VGG19 and their weights."""
