"""What tests/engines/matrix.py promises: python3 tests/engines/test_matrix.py"""

import json
import tempfile
import unittest
from pathlib import Path

import matrix

NEXTEST = """    Starting 3 tests across 4 binaries
        PASS [   0.012s] (1/3) aistack-helper::engine clients::compose
  stderr ───
    SKIPPED: no clients here

        SLOW [> 60.000s] (─────────) aistack-helper::engine dockerd::two_tenants
        PASS [  61.240s] (2/3) aistack-helper::engine dockerd::two_tenants
        FAIL [   0.008s] (3/3) aistack-helper::engine dockerd::broken
     Summary [  61.3s] 3 tests run: 2 passed, 1 failed, 80 skipped
"""

STEPS = """09:00:01 setting up test host 'test'
09:00:02 status-21001 passed (3 s)
    output
09:00:03 volume-grows SKIPPED: root has no CAP_SYS_RESOURCE here
09:00:04 no-op-deploy failed (exit 1, 2 s)
1 passed, 1 failed
"""


def record(line, *passed, suite="gateway"):
    return {"line": line, "suite": suite, "passed": sorted(passed), "failed": [], "skipped": {}, "status": 0}


class Names(unittest.TestCase):
    def test_a_test_that_skipped_did_not_run(self):
        found = matrix.names_of(NEXTEST)
        self.assertEqual(found["passed"], ["dockerd::two_tenants"])
        self.assertEqual(found["failed"], ["dockerd::broken"])
        self.assertEqual(found["skipped"], {"clients::compose": "no clients here"})

    def test_steps_are_named_without_a_tenants_uid(self):
        found = matrix.names_of(STEPS)
        self.assertEqual(found["passed"], ["status-UID"])
        self.assertEqual(found["failed"], ["no-op-deploy"])
        self.assertEqual(found["skipped"], {"volume-grows": "root has no CAP_SYS_RESOURCE here"})

    def test_steps_of_the_guest_are_counted_too(self):
        found = matrix.names_of("09:00:01   FILE 20-deploy\n09:00:02   tenants-deploy passed (16 s)\n")
        self.assertEqual(found["passed"], ["tenants-deploy"])


class Missing(unittest.TestCase):
    def test_what_ran_on_one_engine_only_is_missing_on_the_other(self):
        found = matrix.missing([record("debian-20.10", "a", "b"), record("current", "a")], [])
        self.assertEqual(len(found), 1)
        self.assertIn("gateway on current did not run b", found[0])

    def test_a_reason_is_for_its_line_suite_and_test_only(self):
        records = [record("debian-20.10", "a", "b"), record("current", "a")]
        reason = {"lines": ["current"], "suite": "gateway", "test": "b", "why": "it has no b"}
        self.assertEqual(matrix.missing(records, [reason]), [])
        for key, other in (("lines", ["current-1.44"]), ("suite", "client"), ("test", "bb"), ("why", " ")):
            self.assertEqual(len(matrix.missing(records, [reason | {key: other}])), 1, key)

    def test_other_suites_are_not_compared(self):
        self.assertEqual(matrix.missing([record("debian-20.10", "a"), record("current", "b", suite="client")], []), [])


class Table(unittest.TestCase):
    def test_lines_that_start_their_engines_themselves_and_those_that_did_not_run_stand_below(self):
        engine = {"version": "28", "minimum": "1.24", "api": "1.51", "store": "overlayfs", "firewall": "iptables",
                  "kernel": "6.12", "cgroup": "v2"}
        suites = [record("current", "a", "b"), record("upgrade", "c", suite="upgrade") | {"seconds": 7}]
        kept = {"when": "2026-11-30", "engines": {"current": engine}, "suites": suites, "built_in": None,
                "skipped": {"vm": "nobody requested it"}}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "x.matrix")
            path.write_text(json.dumps(kept))
            rows = matrix.table([path]).splitlines()
        self.assertEqual(rows[0], "| line | engine | API | image store | firewall | gateway |")
        self.assertEqual(rows[2], "| `current` | 28 | 1.24 to 1.51 | overlayfs | iptables | 2 |")
        self.assertIn("- `upgrade`: 1 passed, 0 failed, 0 skipped, 7 s", rows)
        self.assertIn("- `vm`: not run, since nobody requested it", rows)

    def test_of_several_records_the_newest_of_each_line_and_suite_counts(self):
        failed = record("current", "a") | {"failed": ["b"], "status": 1}
        old = {"when": "1", "engines": {"current": {}}, "suites": [failed, record("current", "c", suite="client")],
               "skipped": {"upgrade": "no Go", "vm": "not requested"}, "built_in": 99}
        new = {"when": "2", "engines": {"current": {}}, "built_in": None,
               "suites": [record("current", "a", "b"), record("upgrade", "d", suite="upgrade")]}
        found = matrix.merged([old, new])
        self.assertEqual([one["passed"] for one in found["suites"]], [["a", "b"], ["c"], ["d"]])
        self.assertEqual((found["when"], found["built_in"]), ("2", 99))
        self.assertEqual(found["skipped"], {"vm": "not requested"})

    def test_a_cell_counts_what_failed_and_skipped(self):
        one = record("current", "a", "b")
        self.assertEqual(matrix.cell(one), "2")
        self.assertEqual(matrix.cell(one | {"failed": ["c"], "status": 1}), "2, 1 failed")
        self.assertEqual(matrix.cell(one | {"skipped": {"d": "why"}}), "2, 1 skipped")


if __name__ == "__main__":
    unittest.main()
