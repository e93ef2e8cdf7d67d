"""Typed errors: one constructor a kind. `raise Error.invalid("code", "one sentence")`.

The code is for machines and stays the same for ever. The message says what went wrong, on which input, and
what to do next. Neither ever holds a secret. What is raised is an `Err`; its `value` has kind, code, message.
"""

from componentize_py_types import Err
from wit_world.imports import types
from wit_world.imports.types import ErrorKind


class Error:
    """Makes the `Err` that an extension raises."""

    @staticmethod
    def new(kind, code, message, details=()):
        return Err(types.Error(kind, code, message, None, list(details)))

    @staticmethod
    def not_found(code, message):
        """The thing asked for is not there."""
        return Error.new(ErrorKind.NOT_FOUND, code, message)

    @staticmethod
    def invalid(code, message):
        """The request can never succeed as it is."""
        return Error.new(ErrorKind.INVALID, code, message)

    @staticmethod
    def denied(code, message):
        """Credentials or rights are missing."""
        return Error.new(ErrorKind.DENIED, code, message)

    @staticmethod
    def unavailable(code, message):
        """The tool cannot be reached; the same request may succeed later."""
        return Error.new(ErrorKind.UNAVAILABLE, code, message)

    @staticmethod
    def conflict(code, message):
        """The request contradicts what is already there."""
        return Error.new(ErrorKind.CONFLICT, code, message)

    @staticmethod
    def unsupported(code, message):
        """The tool or this component cannot do this at all."""
        return Error.new(ErrorKind.UNSUPPORTED, code, message)

    @staticmethod
    def internal(code, message):
        """A fault of the component or of the tool."""
        return Error.new(ErrorKind.INTERNAL, code, message)
