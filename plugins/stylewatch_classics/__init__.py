"""Recipes that follow published papers and programs, with losses and optimizers for them.

The package imports only `stylewatch_painter`, which finds it by entry points that are open to every
package: `stylewatch.losses`, `stylewatch.optimizers` and `stylewatch.recipes` in pyproject.toml.
Begin with a recipe in `recipes/`, then the loss that it names.
"""
