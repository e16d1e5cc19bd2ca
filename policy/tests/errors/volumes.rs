//! Volumes.

use crate::fixtures::{errors, named, table, warnings, with};

#[test]
fn volumes_on_disks() {
    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    let good = [
        "{ kind = 'ebs', id = 'vol-12345678', size_min = '10G', grow = true }".to_owned(),
        format!("{{ kind = 'ebs', id = 'vol-12345678', uuid = '{UUID}' }}"),
        "{ kind = 'disk', match = 'serial:QEMU NVMe Ctrl/vol1', fs = 'xfs' }".to_owned(),
        format!("{{ kind = 'disk', match = 'xvd:xvdf', uuid = '{UUID}', format = 'never' }}"),
        format!("{{ kind = 'disk', match = 'by-id:google-data', uuid = '{UUID}' }}"),
        "{ grow = true }".to_owned(),
    ];
    for volume in good {
        assert_eq!(warnings(&named(&format!("volume = {volume}"))), [""; 0]);
    }
    let position = "is a disk's position, not its identity: add the uuid of its file system";
    let made = "a volume with a uuid has its file system already and is never formatted";
    let cases = [
        (
            "{ kind = 'disk', match = 'xvd:xvdf' }".to_owned(),
            format!("10: tenant[1001].volume.uuid: xvd:xvdf {position}"),
        ),
        (
            "{ kind = 'disk', match = 'by-id:a' }".to_owned(),
            format!("10: tenant[1001].volume.uuid: by-id:a {position}"),
        ),
        (
            format!("{{ kind = 'ebs', format = 'if-blank', uuid = '{UUID}' }}"),
            format!("35: tenant[1001].volume.format: {made}"),
        ),
        (
            format!("{{ kind = 'ebs', uuid = '{}' }}", UUID.to_uppercase()),
            format!(
                "33: tenant[1001].volume.uuid: \"{}\" is not a UUID: 8-4-4-4-12 of 0-9, a-f, as blkid \
                 shows it",
                UUID.to_uppercase()
            ),
        ),
        (
            "{ kind = 'ebs', match = 'xvd:xvdf' }".to_owned(),
            "34: tenant[1001].volume.match: a match belongs to kind = \"disk\", this is \"ebs\""
                .to_owned(),
        ),
        (
            "{ kind = 'disk', id = 'vol-12345678' }".to_owned(),
            "32: tenant[1001].volume.id: an id belongs to kind = \"ebs\", this is \"disk\""
                .to_owned(),
        ),
        (
            "{ size_min = '1G' }".to_owned(),
            "23: tenant[1001].volume.size_min: a size_min belongs to disks, this is \"loop\""
                .to_owned(),
        ),
        (
            "{ grow = 'yes' }".to_owned(),
            "19: tenant[1001].volume.grow: expected true or false, found string".to_owned(),
        ),
        (
            "{ kind = 'disk', match = '/dev/sdb' }".to_owned(),
            "35: tenant[1001].volume.match: \"/dev/sdb\" is none of \"ebs:VOLUME-ID\", \
             \"serial:MODEL/SERIAL\", \"by-id:LINK\" or \"xvd:DEVICE\""
                .to_owned(),
        ),
    ];
    for (volume, expected) in cases {
        let text = named(&format!("volume = {volume}"));
        assert_eq!(errors(&text), [format!("7:{expected}")], "{volume}");
    }
    let everybody = with(&format!("volume = {{ kind = 'disk', uuid = '{UUID}' }}"));
    assert_eq!(
        errors(&everybody),
        [
            "5:34: tenants.volume.uuid: a uuid belongs in a [[tenant]]: one volume cannot serve \
             several tenants"
        ]
    );
}

#[test]
fn one_disk_and_one_file_system_serve_one_tenant() {
    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    let two = |one: &str, other: &str| {
        named(&format!(
            "volume = {{ kind = {one} }}\n[[tenant]]\nuid = 1002\nvolume = {{ kind = {other} }}"
        ))
    };
    let ebs = "'ebs', id = 'vol-12345678'";
    assert_eq!(
        errors(&two(ebs, "'disk', match = 'ebs:vol-12345678'")),
        ["10:10: tenant[1002].volume.match: vol-12345678 is pinned for UID 1001 too (line 7)"]
    );
    let serial = "'disk', match = 'serial:a/b'";
    assert_eq!(
        errors(&two(serial, serial)),
        ["10:10: tenant[1002].volume.match: serial:a/b is pinned for UID 1001 too (line 7)"]
    );
    let with_uuid = |disk: &str| format!("{disk}, uuid = '{UUID}'");
    assert_eq!(
        errors(&two(&with_uuid(ebs), &with_uuid(serial))),
        [format!(
            "10:10: tenant[1002].volume.uuid: {UUID} is pinned for UID 1001 too (line 7)"
        )]
    );
    assert_eq!(warnings(&two(ebs, serial)), [""; 0]);
}

#[test]
fn volumes() {
    table(
        "volume",
        &[
            (
                "{ kind = 'nfs' }",
                &["9: .kind: \"nfs\" is none of \"loop\", \"ebs\", \"disk\""],
            ),
            (
                "{ fs = 'btrfs' }",
                &["7: .fs: \"btrfs\" is none of \"ext4\", \"xfs\""],
            ),
            (
                "{ format = true }",
                &["11: .format: expected a string, found boolean"],
            ),
            (
                "{ format = 'always' }",
                &["11: .format: \"always\" is none of \"never\", \"if-blank\""],
            ),
            (
                "{ size = '20GB' }",
                &[
                    "9: .size: \"20GB\" is not a size; write digits and K, M, G or T (powers of 1024), like \"20G\"",
                ],
            ),
            (
                "{ size = 'ü' }",
                &[
                    "9: .size: \"ü\" is not a size; write digits and K, M, G or T (powers of 1024), like \"20G\"",
                ],
            ),
            (
                "{ size = '15M' }",
                &["9: .size: 15728640 bytes is not between 16777216 and 17592186044416"],
            ),
            (
                "{ size = '17T' }",
                &["9: .size: 18691697672192 bytes is not between 16777216 and 17592186044416"],
            ),
            (
                "{ size = '99999999T' }",
                &["9: .size: 99999999T is too large"],
            ),
            (
                "{ size = '99999999999999999999' }",
                &["9: .size: 99999999999999999999 is too large"],
            ),
            (
                "{ size = 20000001 }",
                &["9: .size: 20000001 bytes is not a multiple of 4096"],
            ),
            (
                "{ fs = 'xfs', size = '100M' }",
                &["21: .size: 104857600 bytes is not between 314572800 and 17592186044416"],
            ),
            (
                "{ kind = 'ebs', size = '20G' }",
                &["23: .size: a size belongs to kind = \"loop\", this is \"ebs\""],
            ),
            (
                "{ kind = 'ebs', id = 'vol-12345678' }",
                &[
                    "21: .id: an id belongs in a [[tenant]]: one volume cannot serve several tenants",
                ],
            ),
        ],
    );
    for (volume, expected) in [
        (
            "{ id = 'vol-12345678' }",
            "17: tenant[1001].volume.id: an id belongs to kind = \"ebs\", this is \"loop\"",
        ),
        (
            "{ kind = 'ebs', id = 'vol-1234567G' }",
            "31: tenant[1001].volume.id: \"vol-1234567G\" is not an EBS volume: \"vol-\" and 8 or 17 of 0-9, a-f",
        ),
    ] {
        let text = named(&format!("volume = {volume}"));
        assert_eq!(errors(&text), [format!("7:{expected}")]);
    }
    let small_base =
        with("volume = { size = '64M' }") + "[[tenant]]\nuid = 1001\nvolume = { fs = 'xfs' }";
    assert_eq!(
        errors(&small_base),
        ["8:10: tenant[1001].volume.fs: xfs needs 314572800 bytes, the size is 67108864"]
    );
}
