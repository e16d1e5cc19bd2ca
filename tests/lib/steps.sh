# Steps of a test on a world, each a line `NAME passed|failed`. Sourced after world.sh.

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
        sed -n 's/^TOLD: /    /p' <<<"$output"
    else
        failed=$((failed + 1))
        say "$name failed (exit $status, $((SECONDS - began)) s)"
        tail -n 40 <<<"$output" | sed 's/^/    /'
        failures+=("$name failed:"$'\n'"$(tail -n 8 <<<"$output" | cut -c 1-300)")
    fi
}

# tell TEXT: in a step that passes, a line that is worth reading.
tell() { printf 'TOLD: %s\n' "$*"; }

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

# A value of a tenant's manifest, as the tenant reads it.
env_of() { # USER KEY
    as_tenant "$1" sed -n "s/^$2=//p" "$(base_dir "$(uid_of "$1")")/config/.env" | tr -d "\"'"
}

# Each container of the tenant runs as the tenant or its service UID, with no capability and no way to one.
every_process_is_the_tenants() { # UID
    local id pid uid
    for id in $(host_docker ps -q --filter "label=io.aistack.owner=$1"); do
        pid=$(host_docker inspect --format '{{.State.Pid}}' "$id")
        uid=$(awk '/^Uid:/{print $2}' "/proc/$pid/status")
        [ "$uid" = "$1" ] || [ "$uid" = $(($1 + 1000)) ] || { echo "$id runs as $uid"; return 1; }
        [ "$(awk '/^CapEff:/{print $2}' "/proc/$pid/status")" = 0000000000000000 ] || { echo "$id has capabilities"; return 1; }
        [ "$(awk '/^NoNewPrivs:/{print $2}' "/proc/$pid/status")" = 1 ] || { echo "$id may gain privileges"; return 1; }
    done
}

# No secret of the tenant's manifest is in an audit record or a log of the daemons.
no_secret_in_records() { # USER
    local secret
    for secret in $(as_tenant "$1" sed -n 's/^[A-Z0-9_]*\(PASSWORD\|KEY\|SECRET\|TOKEN\)=//p' "$(base_dir "$(uid_of "$1")")/config/.env" | tr -d "\"'" | grep -E '.{12,}'); do
        if as_root grep -rqF -- "$secret" "$WORLD_DIR/audit" "$WORLD_DIR/engine-audit" "$WORLD_DIR/log"; then
            echo "a secret is in an audit record or a log"
            return 1
        fi
    done
}
