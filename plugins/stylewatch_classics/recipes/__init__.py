"""The recipes, a YAML file each."""
