"""The daemon itself: its main loop, its status, its log, and its alerts."""
