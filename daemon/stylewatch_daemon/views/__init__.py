"""Views shared by the page, the report and the commands."""
