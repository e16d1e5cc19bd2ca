//! Which disk of a host is meant: the one grammar of the policy's `match` and of the mount worker.

use std::fmt;

/// What the NVMe controller of an EBS volume calls itself (amazon-ec2-utils, `ebsnvme`).
pub const EBS_MODEL: &str = "Amazon Elastic Block Store";

/// The longest model, serial number or link name.
const MAX_TEXT: usize = 128;

/// A whole disk, named in a way that says which it is. Made only by [`DiskMatch::parse`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskMatch {
    /// `ebs:vol-0123456789abcdef0`: the EBS volume of this id, on an instance that shows it as NVMe.
    #[non_exhaustive]
    Ebs {
        /// `vol-` and 8 or 17 hexadecimal digits.
        id: String,
    },
    /// `serial:MODEL/SERIAL`: the disk that reports this model and this serial number.
    #[non_exhaustive]
    Serial {
        /// As sysfs shows it, without the spaces around it.
        model: String,
        /// As sysfs shows it, without the spaces around it; holds no `/`.
        serial: String,
    },
    /// `by-id:LINK`: the disk that `/dev/disk/by-id/LINK` points at.
    #[non_exhaustive]
    ById {
        /// File name of the link.
        link: String,
    },
    /// `xvd:xvdf`: the Xen disk of this device name.
    #[non_exhaustive]
    Xvd {
        /// `xvd` and one or two letters.
        device: String,
    },
}

impl DiskMatch {
    /// Reads `ebs:…`, `serial:…`, `by-id:…` or `xvd:…`.
    ///
    /// # Errors
    /// One sentence about what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let forms = "\"ebs:VOLUME-ID\", \"serial:MODEL/SERIAL\", \"by-id:LINK\" or \"xvd:DEVICE\"";
        let (kind, rest) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is none of {forms}"))?;
        match kind {
            "ebs" => Self::ebs(rest),
            "serial" => serial(rest),
            "by-id" => by_id(rest),
            "xvd" => xvd(rest),
            _ => Err(format!("{text:?} is none of {forms}")),
        }
    }

    /// The EBS volume `vol-…`.
    pub(crate) fn ebs(id: &str) -> Result<Self, String> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let digits = id.strip_prefix("vol-").unwrap_or_default();
        if [8, 17].contains(&digits.len()) && digits.bytes().all(hex) {
            Ok(Self::Ebs { id: id.to_owned() })
        } else {
            Err(format!(
                "{id:?} is not an EBS volume: \"vol-\" and 8 or 17 of 0-9, a-f"
            ))
        }
    }

    /// True when the disk itself reports who it is. A link or a device name says only where a disk
    /// is attached: another one may be there tomorrow.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        matches!(self, Self::Ebs { .. } | Self::Serial { .. })
    }
}

impl fmt::Display for DiskMatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ebs { id } => write!(out, "ebs:{id}"),
            Self::Serial { model, serial } => write!(out, "serial:{model}/{serial}"),
            Self::ById { link } => write!(out, "by-id:{link}"),
            Self::Xvd { device } => write!(out, "xvd:{device}"),
        }
    }
}

fn serial(text: &str) -> Result<DiskMatch, String> {
    let (model, serial) = text.rsplit_once('/').unwrap_or_default();
    let printable = |text: &str| {
        let within = (1..=MAX_TEXT).contains(&text.len());
        within && text.trim() == text && text.bytes().all(|b| (b' '..=b'~').contains(&b))
    };
    if !printable(model) || !printable(serial) {
        return Err(format!(
            "{text:?} is not a MODEL/SERIAL: both printable ASCII, without spaces around them"
        ));
    }
    if model == EBS_MODEL {
        return Err("write an EBS volume as \"ebs:vol-…\"".to_owned());
    }
    let (model, serial) = (model.to_owned(), serial.to_owned());
    Ok(DiskMatch::Serial { model, serial })
}

fn by_id(link: &str) -> Result<DiskMatch, String> {
    // What udev leaves in a link's name (systemd, `udev_replace_chars`).
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&b);
    let valid = (1..=MAX_TEXT).contains(&link.len()) && link.bytes().all(plain);
    if !valid || link.starts_with('.') {
        return Err(format!(
            "{link:?} is not a name in /dev/disk/by-id: letters, digits and \"#+-.:=@_\""
        ));
    }
    if link.starts_with("nvme-Amazon_Elastic_Block_Store_") {
        return Err("write an EBS volume as \"ebs:vol-…\"".to_owned());
    }
    let link = link.to_owned();
    Ok(DiskMatch::ById { link })
}

fn xvd(device: &str) -> Result<DiskMatch, String> {
    let letters = device.strip_prefix("xvd").unwrap_or_default();
    if (1..=2).contains(&letters.len()) && letters.bytes().all(|b| b.is_ascii_lowercase()) {
        let device = device.to_owned();
        return Ok(DiskMatch::Xvd { device });
    }
    Err(format!(
        "{device:?} is not a whole Xen disk: \"xvd\" and one or two letters"
    ))
}

/// A UUID in lower case with dashes, as blkid(8) shows it.
///
/// # Errors
/// One sentence about what is wrong.
pub fn parse_uuid(text: &str) -> Result<String, String> {
    let shape = [8, 4, 4, 4, 12];
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let parts: Vec<&str> = text.split('-').collect();
    let right = parts.iter().map(|part| part.len()).eq(shape);
    if right && parts.iter().all(|part| part.bytes().all(hex)) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is not a UUID: 8-4-4-4-12 of 0-9, a-f, as blkid shows it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_names_of_disks_are_read() {
        for good in [
            "ebs:vol-12345678",
            "ebs:vol-0123456789abcdef0",
            "serial:QEMU NVMe Ctrl/vol0123456789abcdef0",
            "serial:A/B/C",
            "by-id:scsi-0HC_Volume_1234567",
            "xvd:xvdf",
            "xvd:xvdba",
        ] {
            assert_eq!(DiskMatch::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "ebs",
            "ebs:",
            "ebs:vol-1234567",
            "ebs:vol-1234567G",
            "ebs:vol-0123456789ABCDEF0",
            "EBS:vol-12345678",
            "serial:/x",
            "serial:x/",
            "serial:x",
            "serial: x/y",
            "serial:x/y ",
            "serial:x/ü",
            "serial:x/a\nb",
            "serial:Amazon Elastic Block Store/vol12345678",
            "by-id:",
            "by-id:..",
            "by-id:a/b",
            "by-id:nvme-Amazon_Elastic_Block_Store_vol12345678",
            "xvd:sda",
            "xvd:xvd",
            "xvd:xvdf1",
            "xvd:/dev/xvdf",
        ] {
            assert!(DiskMatch::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn positions_are_no_identities() {
        let identity = |text| DiskMatch::parse(text).unwrap().is_identity();
        assert!(identity("ebs:vol-12345678") && identity("serial:a/b"));
        assert!(!identity("by-id:a") && !identity("xvd:xvdf"));
    }

    #[test]
    fn uuids_have_one_form() {
        assert!(parse_uuid("01234567-89ab-cdef-0123-456789abcdef").is_ok());
        for bad in [
            "",
            "01234567-89AB-cdef-0123-456789abcdef",
            "0123456789abcdef0123456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdef-",
            "01234567-89ab-cdef-0123-456789abcdeg",
        ] {
            assert!(parse_uuid(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back(text in "(ebs:vol-|serial:|by-id:|xvd:xvd)?[ -~]{0,24}") {
            if let Ok(disk) = DiskMatch::parse(&text) {
                prop_assert_eq!(disk.to_string(), text);
            }
        }
    }
}
