"""The models that `index.json` on a web server lists, as an artifact store that only reads.

`index.json` is a list: `[{"name": "iris", "version": "1", "uri": "https://…", "created": 1700000000000}]`.
"""

from fuseml_extension import Error, configuration, http
from wit_world.exports.store import Contents, Info, Pattern, Results
from wit_world.imports.types import Credential, Descriptor, Location


def _id(entry):
    return f"{entry['name']}/{entry['version']}"


def _descriptor(entry):
    return Descriptor(
        id=_id(entry),
        kind="model",
        name=entry["name"],
        version=entry["version"],
        digest=None,
        created=entry["created"],
        attributes=[],
        metrics=[],
        labels=[],
        tags=[],
        parents=[],
    )


def _entries():
    """The list, ordered by id so that pages follow each other."""
    return sorted(http.get_json(f"{configuration.require('endpoint')}/index.json"), key=_id)


def _entry(wanted):
    for entry in _entries():
        if _id(entry) == wanted:
            return entry
    raise Error.not_found("no-such-model", f"index.json lists no model `{wanted}`")


def _read_only(what):
    return Error.unsupported("read-only-store", f"this store cannot {what}: change index.json instead")


class Store:
    """The contract's functions. Each call begins anew: nothing is kept between two."""

    def describe(self):
        return Info(kinds=["model"], pattern=Pattern.ADAPTER, schemes=["https"], operations=[])

    def health(self):
        _entries()

    def register(self, draft):
        raise _read_only("register")

    def get(self, id):
        return _descriptor(_entry(id))

    def search(self, query, page):
        # The host applies the conditions that a store leaves in `unapplied`.
        if query.kind != "model":
            return Results(items=[], next=None, unapplied=query.conditions)
        # The cursor is the last id of the page before.
        found = [entry for entry in _entries() if page.cursor is None or _id(entry) > page.cursor]
        shown = found[: max(page.limit, 1)]
        more = _id(shown[-1]) if len(found) > len(shown) else None
        return Results(items=[_descriptor(entry) for entry in shown], next=more, unapplied=query.conditions)

    def update(self, id, change):
        raise _read_only("update")

    def delete(self, id):
        raise _read_only("delete")

    def locate(self, id):
        uri, credential = _entry(id)["uri"], Credential(kind="none", secret=None, parameters=[])
        root = Location(scheme="https", uri=uri, credential=credential, digest=None, size_bytes=None, expires=None)
        return Contents(root=root, files=[])
