"""The recipes, a YAML file each.

The folder has no code. The painter finds it by the entry point `classics`. Begin with `gatys.yaml`;
all numbers have their source in docs/recipe-reference.md.
"""
