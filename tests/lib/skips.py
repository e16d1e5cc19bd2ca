"""What `make test` may skip: skips.toml.

    skips.py left-out       prints the tests that cannot run here, each with its reason
    skips.py filter         prints a filter of nextest that leaves them out, or nothing
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

LIST = Path(__file__).with_name("skips.toml")
AS_ROOT = [] if os.getuid() == 0 else ["sudo", "-n"]


def entries(path=LIST):
    return tomllib.loads(path.read_text())["skip"]


def can_run(command):
    """Whether the shell command of an entry succeeds as root."""
    return subprocess.run([*AS_ROOT, "sh", "-c", command], stdout=subprocess.DEVNULL).returncode == 0


def left_out(listed):
    """The entries of tests that cannot run on this machine."""
    return [entry for entry in listed if "test" in entry and not can_run(entry["unless"])]


def says(entry):
    """What one line that this entry allows matches."""
    return f"^SKIPPED: {re.escape(entry['test'])}: " if "test" in entry else entry["says"]


def unlisted(lines, listed):
    """The lines that no entry allows."""
    return [line for line in lines if not any(re.search(says(entry), line.strip()) for entry in listed)]


if __name__ == "__main__":
    tests = left_out(entries())
    if sys.argv[1] == "left-out":
        for entry in tests:
            print(f"SKIPPED: {entry['test']}: {entry['why']}")
    elif tests:
        print("not (" + " | ".join(f"test(={entry['test']})" for entry in tests) + ")")
