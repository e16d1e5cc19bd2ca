# What the scripts of the VM share: where the caches are and what makes them stale.
# Sourced, never run.
# shellcheck shell=bash
# shellcheck disable=SC2034

vm=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/lib/host.sh
. "$vm/../lib/host.sh"

# The images that the journey deploys: caddy would bring all of the catalog with it, too heavy to be emulated.
images=(docker.io/library/redis docker.io/library/postgres)

cache=$test_cache/vm
release=${AISTACK_VM_RELEASE:-trixie}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The packages of the root: everything that our own packages depend on or the steps use, since the guest
# has no network.
root_packages() {
    local common=systemd,systemd-sysv,udev,dbus,kmod,linux-image-cloud-amd64,apparmor,docker.io
    common+=,iproute2,iptables,nftables,e2fsprogs,xfsprogs,fdisk,sudo,adduser,passwd,ca-certificates
    common+=,openssh-server,python3,curl,procps,less,man-db,bash-completion
    case $release in
        bookworm) echo "$common" ;;
        # From Debian 13 on the docker command is apart from the engine.
        *) echo "$common,docker-cli" ;;
    esac
}

# The hash of everything the root is made from. A new month makes a new root, so that it does not age.
root_key() {
    { root_packages; echo "$release"; date +%Y-%m; cat "$vm/lib/make-root" "$vm/guest/aistack-vm.service"; } |
        sha256sum | cut -c1-16
}
root_image() { echo "$cache/root-$release-$(root_key)"; }

# The references that the catalog gives to the images of the journey.
image_references() {
    local image
    for image in "${images[@]}"; do
        sed -n "s|^image *= *\"\($image:[^\"]*\)\".*|\1|p" "$vm"/../../client/catalog/*.toml
    done
}

# The disk with Docker's data depends on the engine that writes it and on the images in it.
docker_key() {
    {
        root_key
        cat "$vm/lib/make-docker-disk"
        image_references | while read -r reference; do host_docker image inspect --format '{{.Id}}' "$reference"; done
    } | sha256sum | cut -c1-16
}
docker_image() { echo "$cache/docker-$release-$(docker_key)"; }
