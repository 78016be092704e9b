"""Safe file operations: atomic writes, folder handles, names, disks, locks."""
