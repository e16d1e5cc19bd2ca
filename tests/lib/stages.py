"""Runs the stages of a plan beside each other, as far as the machine has room, and ends with a table.

    stages.py PLAN CACHE

A stage passes when its command exits with 0; the first failure ends the run. What a stage says is shown when
it ends, and meanwhile its last line every minute. A stage is ended when it has stopped doing anything:
neither a new line nor the processor, for IDLE_LIMIT. Only the whole run has a limit by the clock.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import skips

IDLE_LIMIT = 600  # seconds in which a stage must have said something or used its share of a processor
IDLE_SHARE = 0.01  # of one processor
RUN_LIMIT = int(os.environ.get("AISTACK_TEST_LIMIT", 5100))  # seconds; CI cuts a run at 5400
REPORT_EVERY = 60  # seconds between two lines about what runs
MAX_RUNS = 20  # records in the cache
UNUSUAL = 2  # times its usual share of the run makes a stage worth a word
SMALL = 30  # seconds under which it is not


@dataclass
class Stage:
    """A command, the names of the stages that must have passed before it, and the processors it needs."""

    name: str
    command: str
    after: list[str] = field(default_factory=list)
    load: float = 1.0


class Running:
    """A stage whose command runs, in a process group of its own, its output in a file."""

    def __init__(self, stage, folder):
        self.stage = stage
        self.began = time.monotonic()
        self.log = folder / (re.sub(r"[^a-z0-9]+", "-", stage.name.lower()).strip("-") + ".log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", stage.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"AISTACK_BUILD_IS_HELD": "1"},
                preexec_fn=os.setpgrp,
            )
        self.lines = 0
        self.processor = 0.0
        self.active = self.began

    def seconds(self):
        return round(time.monotonic() - self.began)

    def text(self):
        return self.log.read_text(errors="replace").replace("\r", "\n")

    def last_line(self):
        lines = [line for line in self.text().splitlines() if line.strip()]
        return lines[-1].strip()[:120] if lines else "has said nothing yet"

    def idle_for(self, processes):
        """Seconds since it was last seen to do something. That it still runs is no sign of progress."""
        now = time.monotonic()
        lines = sum(1 for line in self.text().splitlines() if "still running" not in line)
        processor = processor_time(self.process.pid, processes)
        if lines > self.lines or processor - self.processor > IDLE_SHARE * (now - self.active):
            self.active = now
            self.processor = processor
        self.lines = max(lines, self.lines)
        return now - self.active

    def end(self):
        """Tells the whole group to end, so that it can clean up, and does not wait for ever."""
        for sign, patience in ((signal.SIGTERM, 60), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(patience)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                pass


def all_processes():
    """Parent and processor time in seconds (its own and that of the children it waited for) of each PID."""
    found = {}
    tick = os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        found[int(stat.parent.name)] = (int(after_name[1]), sum(map(int, after_name[11:15])) / tick)
    return found


def processor_time(root, processes):
    """What the process and all its descendants have used so far."""
    children = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    total, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        total += processes.get(pid, (0, 0.0))[1]
        waiting += children.get(pid, [])
    return total


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


@dataclass
class Result:
    name: str
    seconds: int
    status: str  # passed, failed, ended, not reached
    checks: int = 0
    skipped: list[str] = field(default_factory=list)


COUNTS = (
    re.compile(r"^(\d+) passed, \d+ failed", re.M),
    re.compile(r"^ *Summary .*?(\d+) passed", re.M),
    re.compile(r"^test result: \w+\. (\d+) passed", re.M),
    re.compile(r"^Ran (\d+) tests? in", re.M),
    re.compile(r"^(?!.*SKIPPED).* passed(?: \(\d+ s\))?$", re.M),
)


def result_of(running, status):
    """Checks are counted as the stage's own test runner counts them; where it does not, by its lines."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", running.text())
    *totals, lines = COUNTS
    checks = sum(int(number) for total in totals for number in total.findall(text)) or len(lines.findall(text))
    skipped = [line[line.index("SKIPPED") :] if line.find("SKIPPED") < 12 else line
               for line in text.splitlines() if "SKIPPED" in line]
    return Result(running.stage.name, running.seconds(), status, max(checks, 1 if status == "passed" else 0), skipped)


class Run:
    """One run of a plan."""

    def __init__(self, plan, folder):
        self.waiting = list(plan)
        self.running = []
        self.results = []
        self.folder = folder
        self.room = float(os.cpu_count() or 1)
        self.began = time.monotonic()
        self.reported = self.began
        self.verdict = None

    def passed(self):
        return {result.name for result in self.results if result.status == "passed"}

    def start_ready(self):
        """Begins every stage that waits for no other one, while there is room. None overtakes an earlier one of the
        plan that waits for room only: that one is on the longest way to the end."""
        for stage in list(self.waiting):
            if not set(stage.after) <= self.passed():
                continue
            room = self.room - sum(running.stage.load for running in self.running)
            if self.running and stage.load > room + 0.01:
                return
            self.waiting.remove(stage)
            say(f"== {stage.name} begins")
            self.running.append(Running(stage, self.folder))

    def look(self):
        """Takes in what has ended, and ends what does nothing any more."""
        processes = all_processes()
        for running in list(self.running):
            code = running.process.poll()
            if code is not None:
                self.close(running, "passed" if code == 0 else "failed", f"exit code {code}")
            elif (idle := running.idle_for(processes)) > IDLE_LIMIT:
                running.end()
                self.close(running, "ended", f"it did nothing for {idle:.0f} s")
        if time.monotonic() - self.began > RUN_LIMIT:
            self.ask_to_end(f"the run took more than {RUN_LIMIT} s (AISTACK_TEST_LIMIT)")
        if time.monotonic() - self.reported > REPORT_EVERY:
            self.reported = time.monotonic()
            for running in self.running:
                say(f"   {running.stage.name}, {running.seconds()} s: {running.last_line()}")

    def unlisted(self):
        """What was skipped without a reason in skips.toml."""
        lines = [line for result in self.results for line in result.skipped]
        return skips.unlisted(lines, skips.entries())

    def ask_to_end(self, why):
        self.verdict = self.verdict or why

    def close(self, running, status, why=""):
        self.running.remove(running)
        result = result_of(running, status)
        self.results.append(result)
        print(running.text(), end="", flush=True)
        say(f"== {result.name} {'passed' if status == 'passed' else 'FAILED: ' + why} after {result.seconds} s")
        if status != "passed":
            self.ask_to_end(f"{result.name} failed: {why}")

    def to_the_end(self):
        while self.waiting or self.running:
            self.start_ready()
            time.sleep(0.5)
            self.look()
            if self.verdict:
                break
        for running in list(self.running):
            running.end()
            self.close(running, "ended", self.verdict)
        self.results += [Result(stage.name, 0, "not reached") for stage in self.waiting]
        return self.verdict is None


def usual_shares(folder):
    """The median share of each stage in the runs that passed and are still on record, from three on."""
    shares = {}
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text())
        total = sum(stage["seconds"] for stage in record["stages"]) or 1
        if record["passed"]:
            for stage in record["stages"]:
                shares.setdefault(stage["name"], []).append(stage["seconds"] / total)
    return {name: sorted(found)[len(found) // 2] for name, found in shares.items() if len(found) >= 3}


def table(results, wall, usual):
    """The stages of a run, one a line, with what they skipped below."""
    total = sum(result.seconds for result in results) or 1
    rows = [f"{'stage':<54}{'seconds':>8}{'checks':>8}  result"]
    for result in results:
        note = result.status
        share = result.seconds / total
        if result.seconds > SMALL and share > UNUSUAL * usual.get(result.name, 1):
            note += f", {share / usual[result.name]:.1f} times its usual share of a run"
        rows.append(f"{result.name:<54}{result.seconds:>8}{result.checks:>8}  {note}")
        rows += [f"    {line.strip()}" for line in result.skipped]
    checks = sum(result.checks for result in results)
    rows.append(f"{'all, beside each other':<54}{wall:>8}{checks:>8}")
    return "\n".join(rows)


def keep_record(runs, plan_name, run, wall, text):
    name = time.strftime("%Y-%m-%dT%H-%M-%S") + f"-{plan_name}"
    record = {
        "passed": run.verdict is None,
        "verdict": run.verdict,
        "seconds": wall,
        "processors": os.cpu_count(),
        "stages": [vars(result) for result in run.results],
    }
    (runs / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (runs / f"{name}.txt").write_text(text + "\n")
    for old in sorted(runs.glob("*.json"))[:-MAX_RUNS]:
        old.unlink()
        old.with_suffix(".txt").unlink(missing_ok=True)
    return runs / f"{name}.txt"


def main(plan_name, cache):
    from plan import PLANS

    os.environ.pop("AISTACK_BUILD_IS_HELD", None)
    runs = Path(os.environ.get("AISTACK_TEST_RECORDS", f"{cache}/runs-{os.getuid()}"))
    logs = runs / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.iterdir():
        old.unlink()
    # Copies the sources and holds the copy until this run ends.
    holder = subprocess.Popen(["tests/cargo", "--hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if not holder.stdout.readline():
        sys.exit("the sources could not be copied to where they are built")
    run = Run(PLANS[plan_name], logs)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda number, _: run.ask_to_end(f"the run was ended by {signal.Signals(number).name}"))
    try:
        passed = run.to_the_end()
    finally:
        for running in run.running:
            running.end()
        holder.stdin.close()
    # What is skipped and not listed passes on nobody's machine but a developer's.
    if plan_name == "all" and os.environ.get("CI") == "true" and (skipped := run.unlisted()):
        run.ask_to_end("skipped, and not in tests/lib/skips.toml: " + "; ".join(skipped))
        passed = False
    wall = round(time.monotonic() - run.began)
    text = table(run.results, wall, usual_shares(runs))
    path = keep_record(runs, plan_name, run, wall, text)
    print(f"\n{text}\n\nThis table is kept in {path}; what each stage said, in {logs}")
    if plan_name == "quick":
        say("SKIPPED: everything that needs root and Docker (run 'make test')")
    done = len(run.passed())
    if not passed:
        say(f"error: {run.verdict}")
        not_reached = [result.name for result in run.results if result.status == "not reached"]
        if not_reached:
            say("not reached: " + "; ".join(not_reached))
    print(f"{done} passed, {len(run.results) - done} failed")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    sys.modules["stages"] = sys.modules["__main__"]
    main(sys.argv[1], sys.argv[2])
