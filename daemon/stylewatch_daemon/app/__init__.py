"""The daemon itself: its main loop, its status, its log, its metrics, and its alerts."""
