"""The host of a plain native test: empty until a test fills it. Install it anew for each test."""

import fnmatch
import json

from componentize_py_types import Err
from wit_world.imports import (
    artifact_events,
    clock,
    configuration,
    files,
    http,
    logging,
    random,
    reveal,
    state,
    types,
)


def _error(kind, code, message):
    return Err(types.Error(kind, code, message, None, []))


class Fake:
    """Settings, files and an answer to HTTP; what the component did is in `requests` and `lines`."""

    def __init__(self):
        self.settings, self.files, self.values = {}, {}, {}
        self.secrets, self.events = {}, []
        self.requests, self.lines, self.time, self.answer = [], [], 0, None
        configuration.get = self.settings.get
        clock.now = lambda: self.time
        random.bytes = lambda length: bytes(n % 256 for n in range(min(length, 4096)))
        logging.log = lambda level, message, fields: self.lines.append((level, message))
        http.fetch = self._fetch
        reveal.secret = self._secret
        artifact_events.since = lambda after, limit: [e for e in self.events if e.sequence > after][: max(limit, 1)]
        files.find, files.read = self._find, self._read
        state.get, state.set = self.values.get, self.values.__setitem__
        state.delete = lambda key: self.values.pop(key, None)
        state.compare_and_set, state.list_keys = self._compare_and_set, self._list_keys

    @staticmethod
    def json(status, value):
        """A JSON answer."""
        return http.Response(status, [("content-type", "application/json")], json.dumps(value).encode())

    def _fetch(self, request):
        self.requests.append(request)
        if self.answer is None:
            raise _error(types.ErrorKind.DENIED, "not-granted", f"no test answers {request.url}")
        return self.answer(request)

    def _secret(self, name):
        if name not in self.secrets:
            raise _error(types.ErrorKind.DENIED, "secret-unknown", f"no test reveals the secret `{name}`")
        return self.secrets[name]

    def _find(self, glob, after):
        # Enough of the host's globs for tests: here `*` crosses folders.
        found = sorted(path for path in self.files if fnmatch.fnmatchcase(path, glob) and (after or "") < path)
        return [files.Entry(path, len(self.files[path]), "fake:0", False) for path in found]

    def _read(self, path):
        if path not in self.files:
            raise _error(types.ErrorKind.NOT_FOUND, "no-such-file", f"there is no file `{path}`")
        return self.files[path]

    def _compare_and_set(self, key, expected, value):
        same = self.values.get(key) == expected
        if same:
            self.values[key] = value
        return same

    def _list_keys(self, prefix, page):
        keys = sorted(key for key in self.values if key.startswith(prefix) and key > (page.cursor or ""))
        limit = max(page.limit, 1)
        return keys[:limit], keys[limit - 1] if len(keys) > limit else None
