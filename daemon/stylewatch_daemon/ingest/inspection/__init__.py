"""Inspection of untrusted files: a child process decodes, hashes and makes thumbnails."""
