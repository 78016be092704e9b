"""The daemon process: wiring, main loop, status updates."""
