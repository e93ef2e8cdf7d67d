import sys
import unittest

sys.path[:0] = ["src", "vendor", "native"]

from fake import Fake
from main import Build
from fuseml_extension import Err
from wit_world.exports.build import Codeset, Previous


class BuildTest(unittest.TestCase):
    def setUp(self):
        self.fake = Fake()
        self.build = Build()
        self.codeset = Codeset(address="codeset://p/c", name="c", changed_files=[])

    def test_only_a_codeset_with_a_job_is_its_own(self):
        self.assertEqual(self.build.detect().confidence, 0)
        with self.assertRaises(Err) as refused:
            self.build.plan(self.codeset, None)
        self.assertEqual(refused.exception.value.code, "no-job")
        self.fake.files["job.py"] = b"print(1)"
        self.assertEqual(self.build.detect().confidence, 100)

    def test_requirements_decide_the_environment(self):
        self.fake.files["job.py"] = b"print(1)"
        self.fake.files["requirements.txt"] = b"# tools\nscikit-learn>=1.5\n"
        first = self.build.plan(self.codeset, None)
        self.assertTrue(first.rebuild)
        self.assertEqual(first.environments[0].requirements, ["scikit-learn>=1.5"])
        previous = Previous(first.environments[0].digest, [])
        self.assertFalse(self.build.plan(self.codeset, previous).rebuild)
        self.fake.files["requirements.txt"] = b"scikit-learn>=1.6\n"
        self.assertTrue(self.build.plan(self.codeset, previous).rebuild)


if __name__ == "__main__":
    unittest.main()
