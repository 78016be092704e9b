"""The inspection of untrusted pictures, in a separate process."""
