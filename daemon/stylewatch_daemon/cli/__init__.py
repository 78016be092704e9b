"""The stylewatch command, a module for each group of commands."""
