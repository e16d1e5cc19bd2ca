# The packages go; the tenants' containers and data stay until the admin takes them away.
. /payload/guest/steps.sh
needs packages-install

removed() {
    local before
    before=$(docker ps -q | sort)
    nft list table inet aistack >/dev/null || return 1
    # The front door goes with its package while it runs.
    printf '\n[ingress]\nenabled = true\n' >>/etc/aistack/policy.toml
    eventually 60 systemctl is-active aistack-ingress || return 1
    DEBIAN_FRONTEND=noninteractive apt-get remove -y aistack aistack-helper || return 1
    [ ! -e /run/aistack/helper.sock ] && [ ! -e /run/aistack/engine.sock ] && [ -e /etc/aistack/policy.toml ] || return 1
    [ "$before" = "$(docker ps -q | sort)" ] && refused 'No such file' nft list table inet aistack &&
        ! pgrep -u aistack-ingress && [ -z "$(ss -Hlnt 'sport = :443')" ]
}
step remove-keeps-stacks-and-policy removed

purged() {
    DEBIAN_FRONTEND=noninteractive apt-get purge -y aistack aistack-helper || return 1
    ls -d /etc/aistack /var/log/aistack /var/log/aistack-engine /var/lib/aistack-engine /run/aistack /run/aistack-ingress 2>/dev/null && return 1
    # But for the unit that runs these steps.
    ! systemctl list-units --all --plain --no-legend 'aistack*' | grep -v '^aistack-vm\.service ' || return 1
    # The data of the tenants is not part of the package.
    [ -s "$(base_dir 1001)/config/.env" ]
}
step purge-keeps-the-data-of-the-tenants purged
