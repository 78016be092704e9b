"""The painter: reads pictures, paints one in the manner of another, knows nothing of folders."""
