"""The time of day. Always granted. Python's own clock does not work in a component."""

from wit_world.imports import clock as host


def now():
    """Milliseconds since 1970-01-01T00:00:00Z."""
    return host.now()
