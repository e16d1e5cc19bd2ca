# The tenants of the guest, under the names that tests/lib/test-host.sh gives to those of another test host, so
# that tests/demo/probes runs here unchanged. Sourced.
# shellcheck shell=bash disable=SC2034

TEST_HOST=vm
TEST_HOST_DIR=/run/aistack-vm
USER_A=alice
USER_B=bob
USER_C=carol                     # has no stack; steps may make and remove one
BASE_TEMPLATE="/mnt/data-tenant-{uid}"
HELPER_SOCKET=/run/aistack/helper.sock
ENGINE_SOCKET=/run/aistack/engine.sock
MOUNT_SOCKET=/run/aistack/mount.sock

base_dir() { echo "${BASE_TEMPLATE/\{uid\}/$1}"; }
uid_of() { id -u "$1"; }

# What the tenants deploy.
STACK_A=(redis postgres)
STACK_B=(redis)

# label UID: what Docker and the kernel call the confinement of that tenant's services.
label() { echo "ai-base-$1//&ai-platform-$1"; }

as_tenant() {
    local user=$1
    shift
    setpriv --reuid "$(uid_of "$user")" --regid "$(uid_of "$user")" --clear-groups --no-new-privs --inh-caps=-all \
        env -i -C "/home/$user" HOME="/home/$user" USER="$user" LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin \
        DOCKER_HOST="unix://$ENGINE_SOCKET" "$@"
}
