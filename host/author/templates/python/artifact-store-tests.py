import sys
import unittest

sys.path[:0] = ["src", "vendor", "native"]

from fake import Fake
from main import Store
from fuseml_extension import Err, ErrorKind
from wit_world.exports.store import Query
from wit_world.imports.types import Page

INDEX = [
    {"name": "wine", "version": "2", "uri": "https://models.example/wine-2", "created": 2},
    {"name": "iris", "version": "1", "uri": "https://models.example/iris-1", "created": 1},
]


class StoreTest(unittest.TestCase):
    def setUp(self):
        self.fake = Fake()
        self.fake.settings["endpoint"] = "https://models.example"
        self.fake.answer = lambda request: Fake.json(200 if request.url.endswith("/index.json") else 404, INDEX)
        self.store = Store()

    def test_pages_follow_each_other(self):
        first = self.store.search(Query("model", []), Page(None, 1))
        self.assertEqual([item.id for item in first.items], ["iris/1"])
        second = self.store.search(Query("model", []), Page(first.next, 1))
        self.assertEqual([item.id for item in second.items], ["wine/2"])
        self.assertIsNone(second.next)

    def test_a_model_is_located_and_another_is_not_there(self):
        self.assertEqual(self.store.locate("iris/1").root.uri, "https://models.example/iris-1")
        with self.assertRaises(Err) as missing:
            self.store.get("iris/9")
        self.assertEqual(missing.exception.value.kind, ErrorKind.NOT_FOUND)

    def test_a_server_that_fails_is_not_healthy(self):
        self.store.health()
        self.fake.answer = lambda request: Fake.json(500, None)
        with self.assertRaises(Err):
            self.store.health()


if __name__ == "__main__":
    unittest.main()
