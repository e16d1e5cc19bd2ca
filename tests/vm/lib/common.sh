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
# The guest's Docker Engine: the release's own, or the current one, built outside.
engine=${AISTACK_DOCKER:-debian}
case $engine in
    debian) engine_name="its own Docker Engine" of_engine= ;;
    current) engine_name="the current Docker Engine" of_engine=current- ;;
    *) die "AISTACK_DOCKER is debian or current, not $engine" ;;
esac

# The packages of the root: everything that our own packages depend on or the steps use, since the guest
# has no network.
root_packages() {
    local common=systemd,systemd-sysv,udev,dbus,kmod,linux-image-cloud-amd64,apparmor,docker.io
    common+=,iproute2,iptables,nftables,e2fsprogs,xfsprogs,fdisk,sudo,adduser,passwd,ca-certificates
    common+=,openssh-server,python3,curl,procps,less,man-db,bash-completion,haproxy
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

# The folder with the current engine's programs: dockerd, docker-proxy, containerd, its shim and runc. tests/vm/run sets
# it; tests/engines/get builds what is in it.
programs=${AISTACK_ENGINE_PROGRAMS:-}

# The packages of the current engine. Sizes and times tell builds apart without reading 200 MB in every run.
packages_key() {
    {
        cat "$vm/lib/make-engine-packages"
        (cd "$programs" && stat -L -c '%n %s %Y' dockerd docker-proxy containerd containerd-shim-runc-v2 runc)
    } | sha256sum | cut -c1-16
}
engine_packages() { echo "$cache/engine-$(packages_key)"; }

# The root with the current engine.
current_key() { { root_key; packages_key; cat "$vm/lib/make-current-root"; } | sha256sum | cut -c1-16; }
current_root_image() { echo "$cache/current-root-$release-$(current_key)"; }

# The root that the guest boots from, and its key.
guest_key() { if [ "$engine" = current ]; then current_key; else root_key; fi; }
guest_root_image() { if [ "$engine" = current ]; then current_root_image; else root_image; fi; }

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
        guest_key
        cat "$vm/lib/make-docker-disk"
        image_references | while read -r reference; do host_docker image inspect --format '{{.Id}}' "$reference"; done
    } | sha256sum | cut -c1-16
}
docker_image() { echo "$cache/${of_engine}docker-$release-$(docker_key)"; }
