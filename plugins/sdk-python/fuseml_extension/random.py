"""Random bytes fit for keys. Always granted. Python's own randomness is the same in every call."""

from wit_world.imports import random as host


def bytes(length):
    """`length` random bytes, at most 4096 a call."""
    return host.bytes(length)
