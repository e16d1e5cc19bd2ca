# Tenant B attacks tenant A, with those tries of the demo that files, sockets and units decide. All of them run
# on the bare engine (tests/journey).
. /payload/guest/steps.sh
needs two-tenants-deploy-at-once

probes() {
    mkdir -p "$TEST_HOST_DIR" && ln -sfn /var/log/aistack "$TEST_HOST_DIR/audit" || return 1
    PROBE_LIMIT=$((30 * slowness)) /payload/tests/demo/probes vm host
    local status=$?
    rm -r "$TEST_HOST_DIR"
    return $status
}
LIMIT=400 step tenant-b-is-refused-everywhere probes

still_healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' tenant-1001-postgres)" = healthy ]; }
step tenant-a-did-not-notice still_healthy

audit_holds() {
    aistack-helper audit verify --audit-dir /var/log/aistack && aistack-helper audit verify --audit-dir /var/log/aistack-engine
}
step audit-chains-hold audit_holds
