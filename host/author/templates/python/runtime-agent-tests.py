import json
import sys
import unittest

sys.path[:0] = ["src", "vendor", "native"]

from fake import Fake
from main import Agent
from fuseml_extension import Err, ErrorKind
from wit_world.exports.agent import Phase, Resources, Workload, WorkloadKind
from wit_world.imports.types import Credential, Location

CLUSTER = "http://ray.example:8265"


def workload(**changed):
    image = Location("none", "", Credential("none", None, []), None, None, None)
    whole = dict(
        key="k1", kind=WorkloadKind.JOB, image=image, command=["echo", "it's"], environment=[("A", "1")],
        secret_environment=[], files=[], inputs=[], outputs=[], port=None, readiness_path=None,
        resources=Resources(500, None, None, None, []), timeout_ms=None, labels=[],
    )
    return Workload(**{**whole, **changed})


class AgentTest(unittest.TestCase):
    def setUp(self):
        self.fake, self.agent, self.job = Fake(), Agent(), None
        self.fake.settings["endpoint"] = CLUSTER
        self.fake.answer = self.answer

    def answer(self, request):
        if request.method == "GET" and request.url == f"{CLUSTER}/api/jobs/k1":
            return Fake.json(404 if self.job is None else 200, self.job)
        if request.url.endswith("/logs"):
            return Fake.json(200, {"logs": "one\ntwo\nthr"})
        return Fake.json(200, {})

    def test_a_workload_becomes_a_job_of_its_key(self):
        self.assertEqual(self.agent.submit(workload()), "k1")
        sent = json.loads(self.fake.requests[1].body)
        self.assertEqual((sent["submission_id"], sent["entrypoint_num_cpus"]), ("k1", 0.5))

    def test_a_key_that_is_there_is_not_submitted_again(self):
        self.job = {"status": "RUNNING"}
        self.agent.submit(workload())
        self.assertEqual(len(self.fake.requests), 1)

    def test_states_are_phases_and_a_missing_job_is_not_found(self):
        for status, phase in [("SUCCEEDED", Phase.SUCCEEDED), ("STOPPED", Phase.CANCELLED), ("FAILED", Phase.FAILED)]:
            self.job = {"status": status}
            self.assertEqual(self.agent.status("k1").phase, phase)
        self.job = None
        with self.assertRaises(Err) as missing:
            self.agent.status("k1")
        self.assertEqual(missing.exception.value.kind, ErrorKind.NOT_FOUND)

    def test_a_log_goes_on_at_its_cursor(self):
        self.job = {"status": "RUNNING"}
        chunk = self.agent.logs("k1", "1")
        self.assertEqual((chunk.lines, chunk.cursor, chunk.ended), (["two"], "2", False))

    def test_what_ray_cannot_is_complained_of(self):
        self.assertEqual(len(self.agent.check(workload(kind=WorkloadKind.SERVICE, files=[("a", "b")]))), 2)


if __name__ == "__main__":
    unittest.main()
