"""The report of a job: one HTML file with its pictures in it."""
