"""Views shared by the page and the commands."""
