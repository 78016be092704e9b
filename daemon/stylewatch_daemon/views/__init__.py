"""What the page, the report and the commands show alike."""
