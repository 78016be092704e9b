"""A backend for stylewatch that lends a photograph the tones of a painting."""
