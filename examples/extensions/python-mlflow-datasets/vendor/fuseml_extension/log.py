"""Lines for the extension's log. Always granted. Never log a secret."""

from wit_world.imports import logging as host
from wit_world.imports.logging import Level


def log(level, message, fields=()):
    """One line with structured context shown beside the message."""
    host.log(level, message, list(fields))


def debug(message):
    """For whoever writes the extension."""
    log(Level.DEBUG, message)


def info(message):
    """For whoever runs it."""
    log(Level.INFO, message)


def warn(message):
    """Something is not as it should be, and the call goes on."""
    log(Level.WARN, message)


def error(message):
    """The call fails for a reason that is worth a line of its own."""
    log(Level.ERROR, message)
