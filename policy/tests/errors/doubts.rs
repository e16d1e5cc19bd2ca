//! What is taken, with a warning.

use crate::fixtures::{warnings, with};

#[test]
fn what_is_doubtful_is_a_warning_with_numbers() {
    for (line, expected) in [
        (
            "ports = { first = 32000 }",
            "5: tenants.ports: ports from 32768 on (3 UIDs) are ephemeral ports (32768-60999): an outgoing connection may take a service's port",
        ),
        (
            "volume = { kind = 'ebs' }",
            "5: tenants.volume: 10 UIDs have an EBS volume without an id, so that it cannot be mounted",
        ),
        (
            "capabilities = ['SYS_ADMIN', 'KILL', 'NET_ADMIN']",
            "5: tenants.capabilities: NET_ADMIN, SYS_ADMIN reaches beyond a container, because there is no user namespace",
        ),
        (
            "network = { prefix = 28 }",
            "5: tenants.network: a /28 has addresses for 13 containers, limits.containers is 40",
        ),
        (
            "limits = { containers = 62 }",
            "5: tenants.network: a /26 has addresses for 61 containers, limits.containers is 62",
        ),
        (
            "network = { pool = '172.16.0.0/12' }",
            "5: tenants.network.pool: the pool 172.16.0.0/12 meets 172.17.0.0/16, which Docker's own bridge docker0 uses by default",
        ),
        (
            "network = { pool = '100.64.0.0/10' }",
            "5: tenants.network.pool: the pool 100.64.0.0/10 meets 100.64.0.0/10, which Tailscale uses by default",
        ),
        (
            "local_images = ['docker.io/library/redis', 'docker.io/library/*']",
            "5: tenants.local_images: docker.io/library/* allows every local image without a registry in its name, including images not meant for tenants",
        ),
        (
            "service_uids = { offset = 60200 }",
            "5: tenants.service_uids: service UIDs from 61201 on lie in 61184-65519, which is handed out by systemd's DynamicUser=",
        ),
    ] {
        assert_eq!(warnings(&with(line)), [expected], "{line}");
    }
    let sub =
        "version = 1\n[tenants]\nuids = [\"99999-100001\"]\nimages = [\"docker.io/n8nio/*\"]\n";
    assert_eq!(
        warnings(sub)[0],
        "3: tenants.service_uids: service UIDs from 100999 on lie in 100000-600100000, which is handed out by useradd as subordinate UIDs (/etc/subuid), whose owner could act as the tenant"
    );
}
