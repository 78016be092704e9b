"""Backends, the contract that they implement, and the registry that loads them.

It imports the painter, and a backend imports no other backend. Begin with `contract`, then
`sketch`, the smallest backend.
"""
