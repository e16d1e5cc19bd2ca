# Steps of a test on a test host, each a line `NAME passed|failed`. Sourced after test-host.sh.

passed=0
failed=0
failures=()
check() { # NAME COMMAND…
    local name=$1 output status heartbeat began=$SECONDS
    shift
    # The sleep may outlive its loop, and must not hold what this prints to.
    while sleep 60 >/dev/null 2>&1 9<&-; do say "$name: still running, $((SECONDS - began)) s"; done &
    heartbeat=$!
    output=$("$@" 2>&1)
    status=$?
    kill $heartbeat
    wait $heartbeat 2>/dev/null
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        say "$name passed ($((SECONDS - began)) s)"
        sed -n 's/^NOTE: /    /p' <<<"$output"
    else
        failed=$((failed + 1))
        say "$name failed (exit $status, $((SECONDS - began)) s)"
        tail -n 40 <<<"$output" | sed 's/^/    /'
        failures+=("$name failed:"$'\n'"$(tail -n 8 <<<"$output" | cut -c 1-300)")
    fi
}

# tell TEXT: in a step that passes, a line that is worth reading.
tell() { printf 'NOTE: %s\n' "$*"; }

# The last words of a run: what failed, once more, since of a long run often only the end is kept.
tell_result() {
    [ ${#failures[@]} -eq 0 ] || printf '%s\n' "${failures[@]}"
    echo "$passed passed, $failed failed"
}

says() { # PATTERN EXPECTED_EXIT COMMAND…: fails unless the command ends so and says so
    local pattern=$1 expected=$2 output status
    shift 2
    output=$("$@" 2>&1)
    status=$?
    echo "$output"
    [ $status -eq "$expected" ] || { echo "exit code $status, not $expected"; return 1; }
    grep -Eq -- "$pattern" <<<"$output" || { echo "does not say /$pattern/"; return 1; }
}

# It succeeds and prints nothing. `[ -z "$(COMMAND)" ]` holds also where the command fails.
nothing() { # COMMAND…
    local said
    said=$("$@") || { echo "$*: exit code $?"; return 1; }
    [ -z "$said" ] || { echo "$said"; return 1; }
}

# The whole run passed, and there was something to pass.
all_passed() { [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]; }

# A value of a tenant's manifest, as the tenant reads it.
env_of() { # USER KEY
    as_tenant "$1" sed -n "s/^$2=//p" "$(base_dir "$(uid_of "$1")")/config/.env" | tr -d "\"'"
}

# What is wrong with a process in a container of a tenant; nothing where it has ended.
violations_of() { # UID PID
    awk -v uid="$1" '
        /^Uid:/ && $2 != uid && $2 != uid + 1000 { print "runs as UID " $2 }
        /^Cap(Prm|Eff):/ && $2 !~ /^0+$/ { print "has capabilities" }
        /^NoNewPrivs:/ && $2 != 1 { print "may gain privileges" }' "/proc/$2/status" 2>/dev/null || true
}

# Every process in every container of the tenant runs as the tenant or its service UID, with no capability and no way to
# one. There is at least one container, with at least one process.
every_process_is_the_tenants() { # UID
    local id pid ids pids
    mapfile -t ids < <(host_docker ps -q --filter "label=io.aistack.owner=$1")
    [ ${#ids[@]} -gt 0 ] || { echo "UID $1 has no running container"; return 1; }
    for id in "${ids[@]}"; do
        mapfile -t pids < <(host_docker top "$id" -eo pid | tail -n +2 | tr -d ' ')
        [ ${#pids[@]} -gt 0 ] || { echo "container $id has no process"; return 1; }
        for pid in "${pids[@]}"; do
            # What a probe starts is the engine's own for a moment, until it has entered the container.
            [ -z "$(violations_of "$1" "$pid")" ] || sleep 1
            nothing violations_of "$1" "$pid" || { echo "that is process $pid of container $id"; return 1; }
        done
    done
}

# No secret of the tenant's manifest is in an audit record or a log of the daemons, which can be read: an operation
# is in them.
no_secret_in_records() { # USER
    local secret secrets records=("$TEST_HOST_DIR/audit" "$TEST_HOST_DIR/engine-audit" "$TEST_HOST_DIR/log")
    mapfile -t secrets < <(as_tenant "$1" sed -n 's/^[A-Z0-9_]*\(PASSWORD\|KEY\|SECRET\|TOKEN\)=//p' \
        "$(base_dir "$(uid_of "$1")")/config/.env" | tr -d "\"'" | grep -E '.{12,}')
    [ ${#secrets[@]} -gt 0 ] || { echo "$1 has no secret"; return 1; }
    as_root grep -rqF -- "container.create" "${records[@]}" || { echo "the records are empty or unreadable"; return 1; }
    for secret in "${secrets[@]}"; do
        as_root grep -rqF -- "$secret" "${records[@]}"
        [ $? -eq 1 ] || { echo "a secret is in an audit record or a log, or they cannot be read"; return 1; }
    done
}
