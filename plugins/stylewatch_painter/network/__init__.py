"""VGG19 and its weights."""
