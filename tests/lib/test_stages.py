"""What tests/lib/stages.py promises, with small commands: python3 tests/lib/test_stages.py"""

import os
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

import skips
import stages
from stages import Result, Run, Stage, result_of, table, usual_shares


def run(*plan, room=2.0):
    """The run of these stages, after its end, with its statuses by name."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(plan, Path(folder))
        run.room = room
        run.passes = run.to_the_end()
        run.statuses = {result.name: result.status for result in run.results}
        return run


class Stages(unittest.TestCase):
    def test_a_stage_begins_after_those_it_needs(self):
        with tempfile.TemporaryDirectory() as folder:
            made = f"{folder}/made"
            both = run(Stage("late", f"test -e {made}", after=["early"]), Stage("early", f"sleep 1; touch {made}"))
        self.assertTrue(both.passes)
        self.assertEqual([result.name for result in both.results], ["early", "late"])

    def test_stages_run_beside_each_other_where_there_is_room(self):
        began = time.monotonic()
        self.assertTrue(run(Stage("a", "sleep 2"), Stage("b", "sleep 2")).passes)
        self.assertLess(time.monotonic() - began, 3.8)
        began = time.monotonic()
        self.assertTrue(run(Stage("a", "sleep 2"), Stage("b", "sleep 2"), room=1).passes)
        self.assertGreater(time.monotonic() - began, 3.8)

    def test_no_stage_overtakes_one_that_waits_for_room(self):
        three = run(Stage("a", "sleep 2", load=1.5), Stage("large", "sleep 2"), Stage("small", "true", load=0.1))
        # The small one would have fitted beside `a`, and been the first to end.
        self.assertEqual([result.name for result in three.results], ["a", "small", "large"])

    def test_a_failure_ends_the_run_and_says_what_was_not_reached(self):
        failed = run(Stage("bad", "false"), Stage("long", "sleep 600"), Stage("never", "true", after=["long"]))
        self.assertFalse(failed.passes)
        self.assertEqual(failed.statuses, {"bad": "failed", "long": "ended", "never": "not reached"})

    def test_a_stage_that_does_nothing_is_ended_and_one_that_computes_is_not(self):
        limit, stages.IDLE_LIMIT = stages.IDLE_LIMIT, 3
        try:
            idle = run(Stage("idle", "while :; do echo still running; sleep 1; done"))
            busy = run(Stage("busy", "timeout 7 sh -c 'while :; do :; done' || true"))
            talks = run(Stage("talks", "for i in 1 2 3 4 5 6 7; do echo $i; sleep 1; done"))
        finally:
            stages.IDLE_LIMIT = limit
        self.assertEqual(idle.statuses, {"idle": "ended"})
        self.assertTrue(busy.passes and talks.passes)

    def test_the_limit_of_a_run_names_what_it_ended(self):
        limit, stages.RUN_LIMIT = stages.RUN_LIMIT, 1
        try:
            slow = run(Stage("slow", "while :; do echo on; sleep 0.2; done"))
        finally:
            stages.RUN_LIMIT = limit
        self.assertEqual(slow.statuses, {"slow": "ended"})
        self.assertIn("more than 1 s", slow.verdict)

    def test_what_is_ended_may_clean_up_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            script = f"trap 'touch {folder}/cleaned; exit' TERM; sleep 600 & echo $! >{folder}/child; wait"
            run(Stage("long", f'bash -c "{script.replace("$", chr(92) + "$")}"'), Stage("bad", "sleep 1; false"))
            self.assertTrue(os.path.exists(f"{folder}/cleaned"))
            child = Path(folder, "child").read_text().strip()
        # Who has ended and was not waited for yet is still there, as a zombie.
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2][0]
        except FileNotFoundError:
            state = "gone"
        self.assertIn(state, ("Z", "gone"))

    def test_checks_are_counted_as_their_runner_counts_them(self):
        for said, checks in (
            ("a passed\nb passed (3 s)\n2 passed, 0 failed\n", 2),
            ("     Summary [  12.3s] 812 tests run: 810 passed (2 slow), 2 skipped\n", 810),
            ("test result: ok. 5 passed; 0 failed\ntest result: ok. 6 passed; 0 failed\n", 11),
            ("  bookworm: the sockets listen passed (0 s)\n12:00:00 lintian passed\n", 2),
            ("Ran 9 tests in 27.709s\n\nOK\n", 9),
            ("", 1),
        ):
            with tempfile.TemporaryDirectory() as folder:
                done = Run([], Path(folder))
                path = Path(folder, "said")
                path.write_text(said)
                done.running.append(stages.Running(Stage("said", f"cat {path}"), Path(folder)))
                done.running[0].process.wait()
                self.assertEqual(result_of(done.running[0], "passed").checks, checks, said)

    def test_the_table_repeats_what_was_skipped_and_names_what_is_unusual(self):
        results = [
            Result("images", 100, "passed", 3, ["SKIPPED: image x is heavy"]),
            Result("tests", 100, "passed", 700),
        ]
        text = table(results, 110, {"images": 0.2, "tests": 0.8})
        self.assertIn("SKIPPED: image x is heavy", text)
        self.assertIn("2.5 times its usual share", text.splitlines()[1])
        self.assertNotIn("usual", text.splitlines()[3])
        self.assertIn("703", text.splitlines()[-1])

    def test_what_is_skipped_stands_on_a_list_with_its_reason(self):
        listed = [{"test": "disks::grows", "unless": "false", "why": "no disk"},
                  {"says": r"^SKIPPED: image \S+ is heavy$", "why": "heavy"}]
        for line, found in (("SKIPPED: disks::grows: no disk", False), ("SKIPPED: image x is heavy", False),
                            ("    SKIPPED: image x is heavy", False), ("SKIPPED: disks::grows_more: no disk", True),
                            ("SKIPPED: image x is heavy today", True), ("10:00:00 kills SKIPPED: no root", True)):
            self.assertEqual(skips.unlisted([line], listed), [line] if found else [], line)
        with unittest.mock.patch("skips.AS_ROOT", []):
            self.assertEqual(skips.left_out(listed), listed[:1])
            self.assertEqual(skips.left_out([listed[0] | {"unless": "true"}]), [])

    def test_every_listed_skip_has_a_reason_and_is_one_of_two_kinds(self):
        for entry in skips.entries():
            self.assertIn(sorted(entry), (["says", "why"], ["test", "unless", "why"]))
            self.assertGreater(len(entry["why"]), 20)

    def test_a_listed_test_exists_and_says_what_it_needs(self):
        sources = "".join(path.read_text() for path in Path(__file__).parents[2].glob("*/tests/**/*.rs"))
        for entry in skips.entries():
            if "test" in entry:
                name = entry["test"].rpartition("::")[2]
                self.assertRegex(sources, rf'#\[ignore = "needs [^"]*"\]\n(?:async )?fn {name}\(')

    def test_the_usual_share_is_the_median_of_three_runs_or_more(self):
        with tempfile.TemporaryDirectory() as folder:
            for n, seconds in enumerate((10, 20, 60)):
                self.assertEqual(usual_shares(Path(folder)), {})
                rest = '{"name": "b", "seconds": %d}' % (100 - seconds)
                Path(folder, f"{n}.json").write_text(
                    '{"passed": true, "stages": [{"name": "a", "seconds": %d}, %s]}' % (seconds, rest))
            self.assertEqual(usual_shares(Path(folder)), {"a": 0.2, "b": 0.8})


if __name__ == "__main__":
    unittest.main(buffer=True)
