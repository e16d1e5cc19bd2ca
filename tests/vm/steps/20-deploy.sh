# Two tenants deploy at once, as themselves.
. /payload/guest/steps.sh

up() {
    local user=$1
    shift
    as "$user" aistack init --preset minimal --vector-db pgvector --set "TIME_SCALE=$time_scale" --no-input && as "$user" aistack deploy --yes --no-input --skip-validate "$@"
}
both_deploy() {
    up "$USER_A" "${STACK_A[@]}" & local one=$!
    up "$USER_B" "${STACK_B[@]}" & local two=$!
    wait $one && wait $two
}
LIMIT=600 vital two-tenants-deploy-at-once both_deploy

# All chosen services of both tenants are healthy.
healthy() {
    local user service uid
    for user in $USER_A $USER_B; do
        uid=$(uid_of "$user")
        # shellcheck disable=SC2155 # it is a name
        local -n stack=STACK_$([ "$user" = "$USER_A" ] && echo A || echo B)
        for service in "${stack[@]}"; do
            [ "$(docker inspect -f '{{.State.Health.Status}}' "tenant-$uid-$service")" = healthy ] ||
                { echo "tenant-$uid-$service is not healthy"; return 1; }
        done
    done
}
step all-services-are-healthy healthy
status_says_so() { as "$USER_A" aistack status | tee /dev/stderr | grep -E '^postgres +running +healthy'; }
step status-says-so status_says_so

# Emulated, with everybody just started, a question may take longer than its time.
answers() { eventually 120 as "$USER_A" aistack validate "${STACK_A[@]}" && eventually 120 as "$USER_B" aistack validate "${STACK_B[@]}"; }
LIMIT=300 step services-answer answers

again_changes_nothing() {
    local before
    before=$(docker ps --no-trunc --format '{{.ID}}' | sort)
    says "nothing to do" 0 as "$USER_A" aistack deploy --yes --no-input "${STACK_A[@]}" || return 1
    [ "$before" = "$(docker ps --no-trunc --format '{{.ID}}' | sort)" ]
}
step deploy-again-changes-nothing again_changes_nothing

# Every container's first process: no root, no capability, no new privileges, the tenant's UID.
runs_without_rights() {
    local uid id pid status
    for uid in 1001 1002; do
        for id in $(docker ps -q --filter "label=io.aistack.owner=$uid"); do
            pid=$(docker inspect -f '{{.State.Pid}}' "$id")
            status=$(cat "/proc/$pid/status")
            grep -qP "^Uid:\t$uid\t$uid\t$uid\t$uid$" <<<"$status" && grep -qP '^CapEff:\t0{16}$' <<<"$status" &&
                grep -qP '^NoNewPrivs:\t1$' <<<"$status" && grep -qP '^Seccomp:\t2$' <<<"$status" ||
                { echo "$id: $status"; return 1; }
        done
    done
}
step containers-have-no-rights runs_without_rights
