import json
import sys
import unittest

sys.path[:0] = ["src", "vendor", "native"]

from fake import Fake
from main import Store
from fuseml_extension import Err, ErrorKind
from wit_world.exports.store import Query
from wit_world.imports.types import Page


def used(name, digest, source):
    return {"dataset": {"name": name, "digest": digest, "source_type": "http", "source": json.dumps(source)}}


WINE = used("wine", "a1", {"url": "https://data.example/wine.csv"})
LOCAL = used("local", "b2", {"uri": "/tmp/data.csv"})
# Two pages; wine is used twice, first at 5.
RUNS = {
    None: {"runs": [{"info": {"start_time": 9}, "inputs": {"dataset_inputs": [WINE]}}], "next_page_token": "2"},
    "2": {"runs": [{"info": {"start_time": 5}, "inputs": {"dataset_inputs": [WINE, LOCAL]}}]},
}


def mlflow(request):
    body = json.loads(request.body)
    if request.url == "https://mlflow.example/api/2.0/mlflow/experiments/search":
        return Fake.json(200, {"experiments": [{"experiment_id": "0"}]})
    if request.url == "https://mlflow.example/api/2.0/mlflow/runs/search" and body["experiment_ids"] == ["0"]:
        return Fake.json(200, RUNS[body.get("page_token")])
    return Fake.json(404, {})


class StoreTest(unittest.TestCase):
    def setUp(self):
        self.fake = Fake()
        self.fake.settings["endpoint"] = "https://mlflow.example"
        self.fake.answer = mlflow
        self.store = Store()

    def test_a_dataset_is_there_once_since_its_first_use(self):
        first = self.store.search(Query("dataset", []), Page(None, 1))
        self.assertEqual([item.id for item in first.items], ["local/b2"])
        second = self.store.search(Query("dataset", []), Page(first.next, 1))
        self.assertEqual([(item.id, item.created) for item in second.items], [("wine/a1", 5)])
        self.assertIsNone(second.next)

    def test_what_only_the_run_could_reach_has_no_location(self):
        self.assertEqual(self.store.locate("wine/a1").root.uri, "https://data.example/wine.csv")
        with self.assertRaises(Err) as refused:
            self.store.locate("local/b2")
        self.assertEqual(refused.exception.value.code, "source-not-reachable")

    def test_what_is_missing_is_not_found(self):
        with self.assertRaises(Err) as missing:
            self.store.get("wine/zz")
        self.assertEqual(missing.exception.value.kind, ErrorKind.NOT_FOUND)

    def test_a_server_that_fails_is_not_healthy(self):
        self.store.health()
        self.fake.answer = lambda request: Fake.json(503, {})
        with self.assertRaises(Err):
            self.store.health()


if __name__ == "__main__":
    unittest.main()
