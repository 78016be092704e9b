"""The same answer on every way: values of settings, and the sentences about wrong ones."""
