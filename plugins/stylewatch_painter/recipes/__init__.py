"""The recipe model, and the recipes that ship.

It imports the settings of losses, optimizers and network, and no torch: the daemon reads recipes.
Begin with `recipe`, the fields, then `book`, which finds and changes recipes.
"""
