"""From files in an inbox to claimed and inspected jobs."""
