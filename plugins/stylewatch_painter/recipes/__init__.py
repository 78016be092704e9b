"""The recipe model, and the recipes that ship.

The package imports the settings of losses, optimizers and network, but not torch, because the
daemon reads recipes. Begin with `recipe`, the fields, then `book`, which finds and changes recipes.
"""
