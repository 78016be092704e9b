"""Safe file operations: atomic writes, directory handles, names, disks, locks."""
