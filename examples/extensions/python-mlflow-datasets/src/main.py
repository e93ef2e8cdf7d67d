"""The datasets that runs on an MLflow server used, as an artifact store that only reads.

MLflow keeps no list of datasets: each run says which it used. A dataset is its name and digest; it was made when
the first run used it. Where it lies is what the run said, if that can be reached from elsewhere.
"""

import json

from fuseml_extension import Error, configuration, http
from wit_world.exports.store import Contents, Info, Pattern, Results
from wit_world.imports.types import Credential, Descriptor, Location

SCHEMES = ["https", "http", "s3", "gs"]


def _post(path, body):
    url = f"{configuration.require('endpoint')}/api/2.0/mlflow/{path}"
    answer = http.fetch("POST", url, [("content-type", "application/json")], json.dumps(body).encode())
    if not http.is_success(answer):
        raise Error.unavailable("mlflow-status", f"MLflow answered {answer.status} to {path}")
    return http.json_of(answer)


def _all(path, body, key):
    """Every item of every page."""
    items, token = [], None
    while True:
        page = _post(path, {**body, "max_results": 1000, **({"page_token": token} if token else {})})
        items += page.get(key, [])
        token = page.get("next_page_token")
        if not token:
            return items


def _id(dataset):
    return f"{dataset['name']}/{dataset['digest']}"


def _datasets():
    """By id, each with the time when a run first used it."""
    experiments = [one["experiment_id"] for one in _all("experiments/search", {}, "experiments")]
    runs = _all("runs/search", {"experiment_ids": experiments}, "runs") if experiments else []
    found = {}
    for run in sorted(runs, key=lambda run: int(run["info"].get("start_time", 0))):
        for used in run.get("inputs", {}).get("dataset_inputs", []):
            created = int(run["info"].get("start_time", 0))
            found.setdefault(_id(used["dataset"]), {**used["dataset"], "created": created})
    return dict(sorted(found.items()))


def _dataset(id):
    found = _datasets().get(id)
    if found is None:
        raise Error.not_found("no-such-dataset", f"no run on the MLflow server used a dataset `{id}`")
    return found


def _descriptor(dataset):
    attributes = [("source-type", dataset.get("source_type", "")), ("schema", dataset.get("schema", ""))]
    return Descriptor(
        id=_id(dataset),
        kind="dataset",
        name=dataset["name"],
        version=dataset["digest"],
        digest=None,
        created=dataset["created"],
        attributes=[(name, value) for name, value in attributes if value],
        metrics=[],
        labels=[],
        tags=[],
        parents=[],
    )


def _uri(dataset):
    """MLflow keeps the source as JSON, whose words depend on its type."""
    try:
        source = json.loads(dataset.get("source", ""))
    except ValueError:
        return None
    return (source.get("uri") or source.get("url")) if isinstance(source, dict) else None


def _read_only(what):
    return Error.unsupported("read-only-store", f"this store cannot {what}: datasets come of runs that use them")


class Store:
    """The contract's functions. Each call begins anew: nothing is kept between two."""

    def describe(self):
        return Info(kinds=["dataset"], pattern=Pattern.ADAPTER, schemes=SCHEMES, operations=[])

    def health(self):
        _post("experiments/search", {"max_results": 1})

    def register(self, draft):
        raise _read_only("register")

    def get(self, id):
        return _descriptor(_dataset(id))

    def search(self, query, page):
        # The host applies the conditions that a store leaves in `unapplied`.
        if query.kind != "dataset":
            return Results(items=[], next=None, unapplied=query.conditions)
        found = [one for id, one in _datasets().items() if page.cursor is None or id > page.cursor]
        shown = found[: max(page.limit, 1)]
        more = _id(shown[-1]) if len(found) > len(shown) else None
        return Results(items=[_descriptor(one) for one in shown], next=more, unapplied=query.conditions)

    def update(self, id, change):
        raise _read_only("update")

    def delete(self, id):
        raise _read_only("delete")

    def locate(self, id):
        uri = _uri(_dataset(id))
        scheme = uri.split("://")[0] if uri and "://" in uri else None
        if scheme not in SCHEMES:
            raise Error.unsupported("source-not-reachable", f"the dataset `{id}` lies where only its run could reach it")
        credential = Credential(kind="none", secret=None, parameters=[])
        root = Location(scheme=scheme, uri=uri, credential=credential, digest=None, size_bytes=None, expires=None)
        return Contents(root=root, files=[])
