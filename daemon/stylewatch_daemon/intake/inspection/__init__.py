"""The inspection of untrusted pictures, in a process of its own.

The daemon imports `client` and `messages`; only the child imports the painter's decoders. Begin
with `messages`, then `inspection_main`.
"""
