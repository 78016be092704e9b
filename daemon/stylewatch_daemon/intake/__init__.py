"""Looks at what was dropped, in a child process of its own: decodes, hashes, makes thumbnails."""
