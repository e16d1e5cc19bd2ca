# Volumes on NVMe disks, with the kernel's own partitions, hot removal and serial numbers. What a disk may hold
# is tried on loop devices, where it takes a tenth of the time (helper/tests/ops/disk_*.rs).
. /payload/guest/steps.sh
needs policy-allows-tenants

records=/var/lib/aistack/volumes

# As the policy stands: A has disk 1, B disk 2, C disk 3. The kernel's names are in no order and mean nothing.
mounted_from() { [ "$(findmnt -no SOURCE "$(base_dir "$1")")" = "$(volume_device "$2")" ]; }
own_disks() {
    local user n=0
    for user in $USER_A $USER_B $USER_C; do
        n=$((n + 1))
        as "$user" aistack volume mount && mounted_from "$(uid_of "$user")" $n || return 1
    done
    findmnt -no SOURCE,TARGET,FSTYPE,OPTIONS "$(base_dir 1001)" | grep -F nosuid,nodev || return 1
    tell "$(lsblk -dno NAME,SERIAL | grep vol0 | tr -s ' ' | tr '\n' ' ')"
}
vital volumes-are-found-by-serial-and-formatted own_disks

marked() { touch "$(base_dir 1003)/mark" && as "$USER_C" aistack volume unmount && ! mountpoint -q "$(base_dir 1003)"; }
again() { marked && as "$USER_C" aistack volume mount && [ -e "$(base_dir 1003)/mark" ]; }
step volume-goes-and-comes-back-with-its-data again

# with_policy SED COMMAND…: the command under the policy that sed makes of the guest's, then the policy as it was.
with_policy() {
    local change=$1 status
    shift
    sed "$change" /payload/guest/policy.toml >/etc/aistack/policy.toml && systemctl reload aistack-helper
    "$@"
    status=$?
    cp /payload/guest/policy.toml /etc/aistack/policy.toml && systemctl reload aistack-helper
    return $status
}
c_has() { echo "s/$(volume_serial 3)/$(volume_serial "$1")/"; }
# Nothing on the disk has changed although C tried to have it mounted. N PATTERN
untouched() {
    local n=$1 pattern=$2 before
    before=$(sha256sum <"$(volume_device "$n")")
    with_policy "$(c_has "$n")" refused "$pattern" as "$USER_C" aistack volume mount || return 1
    ! mountpoint -q "$(base_dir 1003)" && [ "$before" = "$(sha256sum <"$(volume_device "$n")")" ]
}

step carol-lets-go as "$USER_C" aistack volume unmount

partitioned() {
    printf 'label: gpt\n,\n' | sfdisk -q "$(volume_device 4)" && udevadm settle && untouched 4 'has the partition'
}
step partitioned-disk-is-refused-and-untouched partitioned

# B's and C's disks, exchanged by whoever wrote the policy; nobody gets the other's.
exchanged() {
    refused "another tenant's" as "$USER_B" aistack volume mount && refused "another tenant's" as "$USER_C" aistack volume mount &&
        ! mountpoint -q "$(base_dir 1002)" && ! mountpoint -q "$(base_dir 1003)"
}
swapped() {
    as "$USER_B" aistack volume unmount || return 1
    with_policy "s/$(volume_serial 2)/X/; s/$(volume_serial 3)/$(volume_serial 2)/; s/X/$(volume_serial 3)/" exchanged || return 1
    as "$USER_B" aistack volume mount && mounted_from 1002 2
}
step swapped-disks-are-refused-to-both swapped
# What was formatted once is not formatted again, even when every byte of it is gone.
blanked() {
    blkdiscard -f -z "$(volume_device 3)" && refused 'is lost' as "$USER_C" aistack volume mount &&
        cmp -n $((64 << 20)) "$(volume_device 3)" /dev/zero
}
step a-blanked-volume-is-refused-and-untouched blanked
# A disk that is not there, and one that goes away while it is mounted.
absent() { with_policy "$(c_has 9)" refused 'not attached' as "$USER_C" aistack volume mount; }
step a-missing-disk-is-refused absent

torn_out() {
    local device pci
    rm -f "$records/$(volume_serial 3).json" "$records"/*"$(volume_serial 3)"* && ls "$records"
    as "$USER_C" aistack volume mount && mountpoint -q "$(base_dir 1003)" || return 1
    device=$(basename "$(volume_device 3)")
    pci=$(readlink -f "/sys/block/$device/device/device")
    echo 1 >"$pci/remove" && eventually 20 sh -c "[ ! -e /dev/$device ]" || return 1
    as "$USER_C" aistack volume unmount || return 1
    ! mountpoint -q "$(base_dir 1003)" || return 1
    echo 1 >/sys/bus/pci/rescan
    eventually 30 volume_device 3 && as "$USER_C" aistack volume mount && mounted_from 1003 3
}
step a-disk-that-is-torn-out-can-be-unmounted-and-comes-back torn_out
# The rest of the steps find C as it was.
clean() { as "$USER_C" aistack volume unmount; }
step carol-has-no-volume-mounted clean
