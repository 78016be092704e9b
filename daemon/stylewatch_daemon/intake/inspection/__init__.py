"""The inspection of untrusted pictures, in a process of its own.

The daemon imports `client` and `messages`; only the child imports the painter's decoders. Start
reading with `messages`, then `inspection_main`.
"""
