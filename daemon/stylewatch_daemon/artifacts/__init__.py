"""Loss plot, animation and contact sheet of a job, drawn in a child process."""
