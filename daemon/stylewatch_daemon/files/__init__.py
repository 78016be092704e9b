"""Safe file operations: atomic writes, directory handles, names, mounts, permissions, locks."""
