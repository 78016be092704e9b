"""Backends, the contract that they implement, and the registry that loads them."""
