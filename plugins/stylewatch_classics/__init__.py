"""Recipes that follow published papers and programs, with losses and optimizers for them.

Of the project's packages, this one imports only `stylewatch_painter`, which finds it by the entry
points `stylewatch.losses`, `stylewatch.optimizers` and `stylewatch.recipes` in pyproject.toml. Any
other package can define such entry points. To read the code, begin with a recipe in `recipes/`,
then the loss that it names.
"""
