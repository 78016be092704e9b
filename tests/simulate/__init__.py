"""The simulator: the daemon's real code on a world of disks, users and faults owned by one seed."""
