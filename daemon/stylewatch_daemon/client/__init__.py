"""What another process may do: submit pictures, leave requests, and read the status."""
