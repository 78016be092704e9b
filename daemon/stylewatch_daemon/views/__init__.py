"""The one view of a job and of its files, for the page and the commands.

The package may import `client` and the packages below it. It only reads: it decides and changes
nothing. Begin with `job`.
"""
