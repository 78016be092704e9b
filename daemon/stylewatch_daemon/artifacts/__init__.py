"""The losses as curves, the animation and the contact sheet of a job.

The package may import `files` and the painter's `images`. Only a child process loads NumPy and
draws. Begin with `request`, then `drawing`.
"""
