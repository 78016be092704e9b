"""Keepsakes of a painting, and pictures for its report: drawn in a child process, which leaves."""
