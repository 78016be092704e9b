"""The inspection of untrusted pictures, in a process of its own."""
