//! Any bytes at both ends of a volume get a judgement: no signature, one sound file system that
//! fits its own numbers, a broken one, or something else with a place inside the volume.
#![no_main]

use aistack_helper::mount::signature::{Signature, look};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (at, rest) = bytes.split_at(bytes.len().min(2));
    let at = at.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (head, tail) = rest.split_at(at.min(rest.len()));
    for length in [rest.len() as u64, 1 << 30, u64::MAX] {
        match look(head, tail, length) {
            Signature::None => assert!(
                !head.starts_with(b"XFSB") && head.get(0x438..0x43A) != Some(&[0x53, 0xEF]),
                "a magic number was overlooked"
            ),
            Signature::Sound(found) => {
                assert!(found.blocks > 0 && found.block.is_power_of_two());
                assert_eq!(found.uuid.len(), 36);
                assert_eq!(look(head, &[], length), Signature::Sound(found));
            }
            Signature::Damaged { .. } => assert!(head.len() >= 4),
            Signature::Foreign { offset, .. } => assert!(offset < length),
        }
    }
    // Zeros alone have no signature, however many.
    let zeros = vec![0; head.len()];
    assert_eq!(look(&zeros, &[], zeros.len() as u64), Signature::None);
});
