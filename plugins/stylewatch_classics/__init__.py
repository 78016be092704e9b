"""Recipes that follow published papers and programs, with what they alone use.

They come through the entry points that are open to every package: `stylewatch.losses`,
`stylewatch.optimizers` and `stylewatch.recipes` in pyproject.toml.
"""
