"""The codeset's files: read-only, paths relative and `/`-separated. Needs the request `files`."""

from wit_world.imports import files as host

from .error import Err, Error, ErrorKind


def find(glob):
    """Every entry whose path matches (`*` stays inside a folder, `**` does not), sorted by path."""
    found = host.find(glob, None)
    while found:
        more = host.find(glob, found[-1].path)
        if not more:
            break
        found.extend(more)
    return found


def exists(path):
    """Is there a file of exactly this path?"""
    return any(entry.path == path for entry in host.find(path, None))


def read(path):
    """The whole file; raises `not-found` without one."""
    return host.read(path)


def read_text(path):
    """The whole file as text; raises `invalid` when it is not UTF-8."""
    try:
        return read(path).decode()
    except UnicodeDecodeError as error:
        raise Error.invalid("not-utf-8", f"`{path}` is not UTF-8 text: {error}") from None


def read_text_if_there(path):
    """The whole file as text, or None when there is no such file."""
    try:
        return read_text(path)
    except Err as error:
        if error.value.kind == ErrorKind.NOT_FOUND:
            return None
        raise
