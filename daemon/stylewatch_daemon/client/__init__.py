"""What another process may do: submit pictures, ask for changes, and read the status."""
