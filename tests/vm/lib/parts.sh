# The parts of tests/vm/run, in the order in which it calls them. Sourced after common.sh.
# shellcheck shell=bash disable=SC2154,SC2034

run=$cache/run                  # disks, logs and sockets of the current guest
volume_sizes=(1G 1G 64M 64M)     # NVMe volumes, named by volume_id in guest/steps.sh
volumes=${#volume_sizes[@]}
time_limit=${AISTACK_VM_LIMIT:-}       # seconds for all steps together; none unless requested
silence_limit=600               # seconds without a word from the guest, times what it measured itself to be slower

# Sets files to the step files that are to run.
choose_files() {
    local file prefix
    files=()
    for file in "$vm"/steps/*.sh; do
        bash -n "$file" || die "$file does not parse"
        if [ ${#wanted[@]} -eq 0 ]; then
            # Another engine beneath running stacks takes several minutes more, so it is opt-in.
            [[ $file != */92-engine-upgrade.sh ]] || [ -n "${AISTACK_VM_ENGINE_UPGRADE:-}" ] || continue
            files+=("$file")
        else
            for prefix in "${wanted[@]}"; do
                [[ $(basename "$file") != "$prefix"* ]] || files+=("$file")
            done
        fi
    done
    [ ${#files[@]} -gt 0 ] || [ -n "$keep" ] || die "no step file begins with: ${wanted[*]}"
}

# Sets expected to the names of all steps in the chosen files. A name that is not literal could not be missed.
expected_names() {
    local unclear twice
    expected=()
    [ ${#files[@]} -gt 0 ] || return 0
    unclear=$(grep -nE '(^|[[:space:];&|])(step|vital)[[:space:]]' "${files[@]}" /dev/null |
        grep -vE '^[^:]*:[0-9]+:[[:space:]]*#' |
        grep -vE '^[^:]*:[0-9]+:[[:space:]]*([A-Z]+=[0-9]+ )*(step|vital) [a-z0-9][a-z0-9.-]*( |$)' || true)
    [ -z "$unclear" ] || die "a step must stand alone at the beginning of its line, with a literal name:
$unclear"
    mapfile -t expected < <(sed -nE 's/^[[:space:]]*([A-Z]+=[0-9]+ )*(step|vital) ([a-z0-9][a-z0-9.-]*)( .*|$)/\3/p' "${files[@]}")
    twice=$(printf '%s\n' "${expected[@]}" | sort | uniq -d)
    [ -z "$twice" ] || die "two steps have the same name: $twice"
}

# Sets debs to the folder with our packages.
make_debs() {
    [ -z "$debs" ] || return 0
    say "making the packages"
    tests/stages/packages
    debs=$PWD/target/deb
}

# leave_out FILE WHY: that step file does not run, if it was to.
leave_out() {
    local file wanted=()
    [[ " ${files[*]} " == *"/$1.sh "* ]] || return 0
    for file in "${files[@]}"; do
        if [ "$(basename "$file" .sh)" = "$1" ]; then say "$1 SKIPPED: $2"; else wanted+=("$file"); fi
    done
    files=("${wanted[@]}")
}

# Builds the current engine where the guest is to have it from the start or to get it in a step, and no folder with one
# is named.
get_engine() {
    local status=0
    if [ "$engine" = current ]; then
        # Debian 12 has the docker command in the package of its engine, and no AppArmor profile for runc.
        [ "$release" != bookworm ] || die "the current Docker Engine is tried on trixie only"
        leave_out 92-engine-upgrade "this guest begins with the current Docker Engine"
    elif [ "$release" = bookworm ]; then
        leave_out 92-engine-upgrade "Debian 12 has the docker command in the package of its engine"
    fi
    [ "$engine" = current ] || [[ " ${files[*]} " == *92-engine-upgrade* ]] || return 0
    [ -n "$programs" ] || programs=$("$vm/../engines/get") || status=$?
    # As tests/engines/get says that there is no Go which builds it.
    if [ $status -eq 3 ] && [ "$engine" = debian ]; then
        leave_out 92-engine-upgrade "no Go here that builds the current Docker Engine"
    elif [ $status -ne 0 ]; then
        exit $status
    fi
    export AISTACK_ENGINE_PROGRAMS=$programs
}

# Sets root to the root that the guest boots from.
cached_root() {
    root=$(root_image)
    [ -e "$root.img" ] || {
        say "making the guest's root: Debian $release with debootstrap (about 2 minutes, once)"
        rm -f "$cache"/{root,docker,current-root,current-docker}-"$release"-*
        make_logged root "$vm/lib/make-root" "$root"
    }
    [ -n "$programs" ] || return 0
    packages=$(engine_packages)
    [ -d "$packages" ] || {
        say "making packages of the current Docker Engine"
        rm -rf "$cache"/engine-*
        make_logged engine "$vm/lib/make-engine-packages" "$packages"
    }
    [ "$engine" = current ] || return 0
    root=$(current_root_image)
    [ -e "$root.img" ] || {
        say "putting the current Docker Engine into a copy of the guest's root (half a minute, once)"
        rm -f "$cache"/{current-root,current-docker}-"$release"-*
        make_logged current-root "$vm/lib/make-current-root" "$root" "$packages"
    }
}

# make_logged NAME COMMAND…: the command's output goes to a log that is kept, and its end is shown when it fails.
make_logged() {
    local log=$cache/$1.log
    shift
    "$@" >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "$(basename "$1") failed; the log is $log"
    }
}

# The host's engine gives the images, which may have changed; one that this starts is stopped again.
cached_docker_disk() {
    local reference marker
    marker=$(mktemp -u)
    trap 'stop_docker "$marker"' EXIT
    start_docker "$marker"
    # Those of the guest alone, not all of the catalog's.
    mapfile -t names < <(tests/images/build --list | grep -F -f <(image_references) | cut -d ' ' -f 1)
    tests/images/build "${names[@]}"
    docker_disk=$(docker_image)
    make_docker_disk
    stop_docker "$marker"
    trap - EXIT
}

make_docker_disk() {
    [ -e "$docker_disk.img" ] && return
    say "making the disk with Docker's images for the guest ($engine_name)"
    rm -f "$cache/${of_engine}docker-$release"-*
    make_logged "${of_engine}docker" "$vm/lib/make-docker-disk" "$docker_disk"
}

# The same package with a higher version, for the upgrade.
higher_version() {
    local deb=$1 into=$2 tree
    tree=$(mktemp -d)
    dpkg-deb -R "$deb" "$tree"
    sed -i 's/^Version: .*/&+upgrade/' "$tree/DEBIAN/control"
    dpkg-deb --root-owner-group -Zgzip -z1 -b "$tree" "$into/" >/dev/null
    rm -rf "$tree"
}

make_disks() {
    local payload=$run/payload n deb
    say "making the disks of this run"
    rm -rf "$run"
    mkdir -p "$payload"/{debs,upgrade,steps,tests/lib,tests/demo,guest}
    for deb in "$debs"/*.deb; do
        cp "$deb" "$payload/debs/"
        higher_version "$deb" "$payload/upgrade"
    done
    [ ${#files[@]} -eq 0 ] || cp "${files[@]}" "$payload/steps/"
    cp -r "$vm/guest/." "$payload/guest/"
    cp "$(PATH=$PATH:/usr/sbin:/sbin command -v busybox)" "$payload/guest/"
    cp "$vm/../lib/host.sh" "$vm/../lib/kill-at" "$vm/../lib/scan" "$payload/tests/lib/"
    cp "$vm/guest/test-host.sh" "$payload/tests/lib/test-host.sh"
    echo "$engine" >"$payload/guest/engine"
    cp "$vm/../demo/probes" "$vm/../demo/scan" "$payload/tests/demo/"
    [ -z "$programs" ] || [ "$engine" = current ] || cp -r "$packages" "$payload/engine"
    ssh-keygen -q -t ed25519 -N '' -f "$run/key"
    cp "$run/key.pub" "$payload/authorized_keys"
    chown -R root:root "$payload"
    truncate -s 1G "$run/payload.img"
    mkfs.ext4 -q -L aistack-payload -O ^has_journal -d "$payload" "$run/payload.img"
    for n in $(seq "$volumes"); do truncate -s "${volume_sizes[n - 1]}" "$run/volume$n.img"; done
    # What the guest writes to the cached disks goes to files of this run.
    qemu-img create -q -f qcow2 -F raw -b "$root.img" "$run/root.qcow2"
    qemu-img create -q -f qcow2 -F raw -b "$docker_disk.img" "$run/docker.qcow2"
}

boot() {
    local n arguments
    # shellcheck disable=SC2054 # the commas are QEMU's
    arguments=(
        # One processor: where the emulator gives each a thread of its own, a processor may run code that
        # another has just patched, and the guest's kernel dies in an int3 (seen with QEMU 7.2 and 10.0). An old
        # model of it, because wide registers cost much to emulate.
        -name aistack-vm -accel tcg,thread=single,tb-size=1024 -cpu Nehalem -smp 1 -m 3072
        -kernel "$root.vmlinuz" -initrd "$root.initrd" -display none -monitor "unix:$run/monitor,server=on,wait=off"
        # Emulation is not a place for workarounds of real CPUs. Nor for the kernel's question at boot whether its timer
        # ticks, which an emulator that the host does not let run in that moment answers with a panic.
        -append "root=LABEL=aistack-root rw console=ttyS0 mitigations=off tsc=reliable no_timer_check panic=0 systemd.show_status=false quiet ${keep:+aistack.keep}"
        -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng
    )
    for n in root docker; do
        arguments+=(-drive "file=$run/$n.qcow2,if=virtio,format=qcow2,cache=unsafe,discard=unmap")
    done
    arguments+=(-drive "file=$run/payload.img,if=virtio,format=raw,readonly=on")
    for n in $(seq "$volumes"); do
        arguments+=(
            -drive "file=$run/volume$n.img,if=none,id=volume$n,format=raw,cache=unsafe,discard=unmap"
            -device "nvme,serial=$(printf 'vol%017d' "$n"),drive=volume$n"
        )
    done
    if [ -n "$keep" ]; then
        arguments+=(
            -chardev "socket,id=console,path=$run/console,server=on,wait=off,logfile=$run/console.log" -serial chardev:console
            -nic "user,restrict=on,model=virtio,hostfwd=tcp:127.0.0.1:${AISTACK_VM_PORT:-2222}-:22"
        )
    else
        arguments+=(-serial "file:$run/console.log" -nic none)
    fi
    arguments+=(-serial "file:$run/steps.log")
    touch "$run/steps.log" "$run/console.log"
    say "booting Debian $release with $engine_name (logs: $run/steps.log, $run/console.log)"
    # The lock is held by whatever guest runs, so QEMU keeps descriptor 9.
    qemu-system-x86_64 "${arguments[@]}" >"$run/qemu.log" 2>&1 </dev/null &
    qemu=$!
    echo $qemu >"$run/pid"
    trap 'kill $qemu 2>/dev/null || true' EXIT
}

# What the guest has measured: how many times slower it is than the limits were made for.
slowness() { sed -n 's/^SLOWNESS \([0-9]*\).*/\1/p' "$run/steps.log" | tail -n 1 | grep . || echo 1; }

# Shows what the guest says until it powers off, stays up on request, panics, or takes too long.
follow() {
    local started=$SECONDS heard=$SECONDS lines=0 now
    verdict=
    while :; do
        now=$(wc -l <"$run/steps.log")
        if [ "$now" -gt "$lines" ]; then
            tail -n +$((lines + 1)) "$run/steps.log" | head -n $((now - lines)) | tr -d '\r' | while IFS= read -r line; do
                say "  $line"
            done
            lines=$now
            heard=$SECONDS
        fi
        if ! kill -0 "$qemu" 2>/dev/null; then break
        elif [ -n "$keep" ] && grep -q '^KEPT' "$run/steps.log"; then break
        elif grep -qE 'Kernel panic|Oops:' "$run/console.log"; then verdict="the guest's kernel panicked"
        elif [ -n "$time_limit" ] && [ $((SECONDS - started)) -gt "$time_limit" ]; then verdict="the steps took more than $time_limit s"
        elif [ $((SECONDS - heard)) -gt $((silence_limit * $(slowness))) ]; then verdict="the guest said nothing for $((SECONDS - heard)) s"
        fi
        if [ -n "$verdict" ]; then
            say "$verdict; the end of the console:"
            tail -n 40 "$run/console.log" | sed 's/^/    /'
            [ -n "$keep" ] || kill -KILL "$qemu"
            break
        fi
        sleep 1
    done
}

# The run has passed only if the guest reached its end, every expected step spoke, and none failed. The last line says
# which failed, since a step that fails may leave out others.
judge() {
    local name good=0 failed=() unreached=() bad=()
    tr -d '\r' <"$run/steps.log" >"$run/steps.txt"
    for name in "${expected[@]}"; do
        if grep -qE "^$name failed( |$)" "$run/steps.txt"; then failed+=("$name")
        elif grep -qE "^$name passed( |$)" "$run/steps.txt"; then good=$((good + 1))
        else unreached+=("$name")
        fi
    done
    [ ${#failed[@]} -eq 0 ] || bad+=("failed: ${failed[*]}")
    [ -z "$verdict" ] || bad+=("$verdict")
    grep -q '^END of all steps' "$run/steps.txt" || bad+=("the guest did not reach the end of the steps")
    [ ! -s "$run/qemu.log" ] || sed 's/^/    qemu: /' "$run/qemu.log"
    [ -z "$keep" ] || show_kept
    [ ${#failed[@]} -eq 0 ] || printf '  %s failed\n' "${failed[@]}"
    [ ${#unreached[@]} -eq 0 ] || printf '  %s was not reached\n' "${unreached[@]}"
    sed -n 's/^LEFT OUT: /  left out: /p' "$run/steps.txt"
    echo "$good passed, ${#failed[@]} failed, ${#unreached[@]} not reached in the VM (Debian $release with $engine_name)" \
        "in $((SECONDS - began)) s$([ ${#bad[@]} -eq 0 ] || printf '; %s' "${bad[@]}")"
    [ ${#bad[@]} -eq 0 ] && [ ${#unreached[@]} -eq 0 ]
}

show_kept() {
    trap - EXIT
    if [ -n "$shell" ]; then
        need_packages socat=socat
        say "root's shell in the guest; Ctrl-] leaves it, and the guest goes with it"
        socat "STDIO,raw,echo=0,escape=0x1d" "UNIX-CONNECT:$run/console" || true
        kill "$qemu" 2>/dev/null || true
    else
        say "the guest stays up: tests/vm/sh COMMAND runs in it as root, tests/vm/stop ends it"
    fi
}
