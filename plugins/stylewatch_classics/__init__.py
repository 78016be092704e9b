"""Recipes that follow published papers and programs, with what they alone use.

It imports `stylewatch_painter` alone, and comes through the entry points that are open to every
package: `stylewatch.losses`, `stylewatch.optimizers` and `stylewatch.recipes` in pyproject.toml.
Begin with a recipe in `recipes/`, then the loss that it names.
"""
