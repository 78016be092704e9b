"""The losses as curves, the animation and the contact sheet of a job.

It may import `files` and the painter's pictures; a child process alone loads NumPy and draws. Begin
with `request`, then `drawing`.
"""
