"""Safe file operations: atomic writes, directory handles, names, disks, permissions, locks."""
