"""Recipes that follow published papers and programs, with losses and optimizers for them.

The package imports only `stylewatch_painter`, which finds it by the entry points
`stylewatch.losses`, `stylewatch.optimizers` and `stylewatch.recipes` in pyproject.toml. Any other
package may have such entry points, too. Begin with a recipe in `recipes/`, then the loss that it
names.
"""
