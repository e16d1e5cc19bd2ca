"""Counts what the suites of the matrix ran on each engine, compares the engines, and keeps the record.

    matrix.py tell RESULTS LINE SUITE STATUS SECONDS   counts a suite that has ended: one line about it
    matrix.py judge RESULTS RUNS                       compares the lines, keeps the record in RUNS
    matrix.py table RECORD                             the table of docs/engines.md
"""

import json
import re
import sys
import time
import tomllib
from pathlib import Path

DIFFERENCES = Path(__file__).with_name("differences.toml")
KEPT = 20  # records in the cache
SHOWN = 40  # lines of a suite that failed

NEXTEST = re.compile(r"^ +(PASS|FAIL|ABORT|TIMEOUT|LEAK|SIG[A-Z0-9]+) \[.*?\] (?:\( *\d+/\d+\) )?\S+ (\S+)$")
STEP = re.compile(r"^\d\d:\d\d:\d\d (\S+) (passed|failed) \(")
STEP_SKIPPED = re.compile(r"^\d\d:\d\d:\d\d (\S+) SKIPPED: (.*)")


def names_of(text):
    """The tests that passed and that failed, and why others were skipped, by name. A tenant's UID is no part of it."""
    passed, failed, skipped, current = set(), set(), {}, None
    for line in text.splitlines():
        line = re.sub(r"\x1b\[[0-9;]*m", "", line)
        if found := NEXTEST.match(line):
            current = found[2]
            (passed if found[1] in ("PASS", "LEAK") else failed).add(current)
        elif found := STEP.match(line):
            {"passed": passed, "failed": failed}[found[2]].add(re.sub(r"\b\d{5}\b", "UID", found[1]))
        elif found := STEP_SKIPPED.match(line):
            skipped[found[1]] = found[2]
        elif line.strip().startswith("SKIPPED") and current:
            skipped[current] = line.partition("SKIPPED")[2].lstrip(": ")
    return {"passed": sorted(passed - set(skipped)), "failed": sorted(failed), "skipped": skipped}


def tell(results, line, suite, status, seconds):
    """One line about a suite, and whether all is well with it."""
    log = results / f"{line}.{suite}.log"
    text = log.read_text(errors="replace")
    record = names_of(text) | {"line": line, "suite": suite, "status": status, "seconds": seconds}
    (results / f"{line}.{suite}.json").write_text(json.dumps(record))
    well = status == 0 and not record["failed"] and record["passed"]
    print(f"{line:<28}{suite:<10}{len(record['passed']):>4} passed, {len(record['failed'])} failed, "
          f"{len(record['skipped'])} skipped, {seconds} s{'' if well else f'  FAILED (exit {status})'}", flush=True)
    for name, why in record["skipped"].items():
        print(f"    SKIPPED: {name}: {why}")
    if not well:
        print("\n".join(f"    {row}" for row in text.splitlines()[-SHOWN:]), flush=True)
    return bool(well)


def missing(records, reasons):
    """What ran on one engine and not on another, without a reason: sentences."""
    everywhere = {}
    for record in records:
        everywhere.setdefault(record["suite"], set()).update(record["passed"])
    found = []
    for record in records:
        for name in sorted(everywhere[record["suite"]] - set(record["passed"]) - set(record["failed"])):
            if not any(explains(reason, record, name) for reason in reasons):
                found.append(f"{record['suite']} on {record['line']} did not run {name}, which ran on another engine; "
                             f"say why in {DIFFERENCES.name}, or let it run")
    return found


def explains(reason, record, name):
    return (record["line"] in reason["lines"] and record["suite"] == reason["suite"]
            and re.fullmatch(reason["test"], name) and reason["why"].strip() != "")


def engine_of(path):
    """What an engine said of itself, as far as the table shows it."""
    version, info = (json.loads(row) for row in path.read_text().splitlines() if row.strip())
    firewall = (info.get("FirewallBackend") or {}).get("Driver", "iptables")
    return {"version": version["Version"], "api": version["ApiVersion"], "minimum": version["MinAPIVersion"],
            "store": info["Driver"], "firewall": firewall, "cgroup": f"v{info.get('CgroupVersion', 1)}",
            "security": info["SecurityOptions"], "live_restore": info["LiveRestoreEnabled"],
            "kernel": info["KernelVersion"]}


def in_order(paths):
    """As they were written."""
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns)


def judge(results, runs):
    """Compares the lines and keeps the record; whether everything is well."""
    records = [json.loads(path.read_text()) for path in in_order(results.glob("*.json"))]
    reasons = tomllib.loads(DIFFERENCES.read_text())["difference"]
    problems = missing([record for record in records if record["status"] == 0], reasons)
    engines = {path.stem: engine_of(path) for path in in_order(results.glob("*.engine"))}
    kept = {"when": time.strftime("%Y-%m-%d"), "engines": engines, "suites": records, "problems": problems,
            "built_in": built_in(runs.parent)}
    path = runs / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-engines.matrix"
    path.write_text(json.dumps(kept, indent=1) + "\n")
    for old in sorted(runs.glob("*-engines.matrix"))[:-KEPT]:
        old.unlink()
    for problem in problems:
        print(f"error: {problem}")
    well = [record for record in records if record["status"] == 0 and record["passed"] and not record["failed"]]
    print(f"The record is {path}")
    print(f"{sum(len(record['passed']) for record in records)} passed, "
          f"{sum(len(record['failed']) for record in records) + len(problems)} failed")
    return len(well) == len(records) > 0 and not problems


def built_in(cache):
    """Seconds that building the current engine took, where it was built here."""
    found = sorted(cache.glob("engines-*/seconds"))
    return int(found[-1].read_text()) if found else None


def table(path):
    """Markdown of what a record says."""
    kept = json.loads(path.read_text())
    suites = list(dict.fromkeys(record["suite"] for record in kept["suites"]))
    rows = ["| line | engine | API | image store | firewall | " + " | ".join(suites) + " |",
            "|---|---|---|---|---|" + "---:|" * len(suites)]
    for line, engine in kept["engines"].items():
        cells = []
        for suite in suites:
            found = [record for record in kept["suites"] if (record["line"], record["suite"]) == (line, suite)]
            cells.append(cell(found[0]) if found else "–")
        rows.append(f"| `{line}` | {engine['version']} | {engine['minimum']} to {engine['api']} | {engine['store']} | "
                    f"{engine['firewall']} | " + " | ".join(cells) + " |")
    kernels = sorted({engine["kernel"] for engine in kept["engines"].values()})
    groups = sorted({engine["cgroup"] for engine in kept["engines"].values()})
    rows += ["", f"Run on {kept['when']}, Linux {', '.join(kernels)}, cgroup {', '.join(groups)}."]
    if kept["built_in"]:
        rows[-1] += f" Building the current engine took {kept['built_in']} s."
    return "\n".join(rows)


def cell(record):
    text = str(len(record["passed"]))
    if record["failed"] or record["status"]:
        text += f", {len(record['failed'])} failed"
    if record["skipped"]:
        text += f", {len(record['skipped'])} skipped"
    return text


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["tell", results, line, suite, status, seconds]:
            sys.exit(not tell(Path(results), line, suite, int(status), int(seconds)))
        case ["judge", results, runs]:
            sys.exit(not judge(Path(results), Path(runs)))
        case ["table", record]:
            print(table(Path(record)))
        case _:
            sys.exit(__doc__)
