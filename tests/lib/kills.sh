# Kills in the middle of a tenant's command, by tests/lib/kill-at. Sourced after steps.sh.

# The hits of this test host, one a line: log, number of the intent, victims.
hits_file() { echo "$TEST_HOST_DIR/hits"; }

log_of() { # helper|engine
    case $1 in
        helper) echo "$TEST_HOST_DIR/audit/helper.jsonl" ;;
        engine) echo "$TEST_HOST_DIR/engine-audit/engine.jsonl" ;;
    esac
}

# Runs the command of user A and kills each VICTIM, a daemon or `caller`, when LOG, helper or engine, says that
# OPERATION has begun. WHEN is options of kill-at; `--tool-of mount` needs no PID. Ends with 2 when it did not hit.
killed() { # LOG OPERATION "VICTIM…" "WHEN" COMMAND…
    local log=$1 operation=$2 names=$3 victims=() when=() word verdict become
    for word in $names; do
        [ "$word" = caller ] || word=$(daemon_pid "$word")
        victims+=("$word")
    done
    for word in $4; do
        [ "$word" != mount ] || word=$(daemon_pid mount)
        when+=("$word")
    done
    shift 4
    become_tenant "$USER_A"
    verdict=$(as_root tests/lib/kill-at --uid "$(uid_of "$USER_A")" "${when[@]}" \
        "$(log_of "$log")" "$operation" "${victims[@]}" -- "${become[@]}" "$@")
    echo "$operation ${when[*]}: $verdict"
    case $verdict in
        hit*) echo "$log ${verdict#hit } $names" | as_root tee -a "$(hits_file)" >/dev/null ;;
        missed* | none) return 2 ;;
        *) return 1 ;;
    esac
}

# Every PLAN is "OPERATION [WHEN…]". ROUND gets it as two words; it succeeds when its kill hit, ends with 2 when
# the kill came too late, and fails when something did not survive. A kill that came too late is tried again.
each_hits() { # ROUND PLAN…
    local round=$1 plan operation when try status hit=0
    shift
    for plan in "$@"; do
        read -r operation when <<<"$plan"
        for try in 1 2 3 4 5; do
            status=0
            "$round" "$operation" "$when" || status=$?
            case $status in
                0) hit=$((hit + 1)); break ;;
                2) ;;
                *) echo "killed at $plan: it did not survive"; return 1 ;;
            esac
        done
    done
    tell "hit $hit of $#"
    [ $hit -eq $# ]
}

# docs/audit.md: every intent has one outcome, and `interrupted` is that of an operation whose daemon was killed.
every_intent_has_its_end() {
    as_root python3 - "$(hits_file)" "$(log_of helper)" "$(log_of engine)" <<'PY'
import collections, json, sys

hits, *logs = sys.argv[1:]
ends = {}
for daemon, path in zip(("helper", "engine"), logs):
    records = [json.loads(line) for line in open(path)]
    found = collections.defaultdict(list)
    for record in records:
        if record["event"] == "outcome":
            found[record["intent"]].append(record["outcome"])
    for record in records:
        if record["event"] == "intent":
            ends[daemon, record["seq"]] = record["operation"], found[record["seq"]]
wrong = [(intent, *end) for intent, end in ends.items() if len(end[1]) != 1]
ends_by = collections.Counter()
for line in open(hits):
    daemon, seq, *victims = line.split()
    operation, outcomes = ends[daemon, int(seq)]
    ends_by[outcomes[0] if outcomes else "open"] += 1
    if daemon in victims and outcomes != ["interrupted"]:
        wrong.append((line.strip(), operation, outcomes))
for problem in wrong:
    print(*problem)
print(f"NOTE: {len(ends)} intents; of those that were hit:", ", ".join(f"{count} {end}" for end, count in ends_by.items()))
sys.exit(bool(wrong) or not ends_by)
PY
}
