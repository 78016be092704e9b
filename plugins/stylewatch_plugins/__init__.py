"""Backends, the contract that they implement, and the registry that loads them.

This package imports the painter. No backend imports another backend. Begin with `contract`, then
`sketch`, the smallest backend.
"""
