//! Whoever floods the socket is refused by the kernel for a while.
//!
//! Taking connections out of the queue quickly is not enough where others put them in with more
//! processors than one. An entry of the socket's access list (acl(5)) that gives a UID nothing makes
//! its connect(2) fail before anything is queued, so that there is room for everybody else.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{XattrFlags, lgetxattr, lremovexattr, lsetxattr};
use rustix::io::Errno;

use crate::seldom::Seldom;

/// So many connections of one UID that are closed without an answer, within [`WINDOW`], are a flood.
const FLOOD: u32 = 500;
const WINDOW: Duration = Duration::from_secs(1);
/// How long its connections are refused.
const FOR: Duration = Duration::from_secs(10);
/// UIDs that are kept out at once.
const MAX_OUT: usize = 256;
/// UIDs that are counted at once; more do not flood at one moment.
const MAX_COUNTED: usize = 1024;
/// Where the kernel has the access list.
const NAME: &str = "system.posix_acl_access";

static FLOODS: Seldom = Seldom::new();

/// Who floods, and who is kept out until when; pure (time is passed in).
#[derive(Debug, Default)]
struct Flooders {
    window: Duration,
    closed: HashMap<u32, u32>,
    out: BTreeMap<u32, Duration>,
}

impl Flooders {
    /// A connection of this UID was closed. True when it is to be kept out from now on.
    fn closed(&mut self, uid: u32, now: Duration) -> bool {
        if now >= self.window + WINDOW {
            self.window = now;
            self.closed.clear();
        }
        if self.closed.len() >= MAX_COUNTED && !self.closed.contains_key(&uid) {
            return false;
        }
        let count = self.closed.entry(uid).or_default();
        *count += 1;
        // What was in the queue before its connections were refused comes still.
        if *count < FLOOD || self.out.len() >= MAX_OUT || self.out.contains_key(&uid) {
            return false;
        }
        self.out.insert(uid, now + FOR);
        true
    }

    /// True when somebody's time is over.
    fn forgive(&mut self, now: Duration) -> bool {
        let before = self.out.len();
        self.out.retain(|_, until| *until > now);
        self.out.len() < before
    }

    /// When it is time to look again.
    fn next(&self) -> Option<Duration> {
        self.out.values().min().copied()
    }
}

/// The access list of one socket, as far as it is about those who flood it.
#[derive(Debug)]
pub(super) struct ShutOut {
    /// `None` where there is no list to be had; then nobody is kept out.
    socket: Option<PathBuf>,
    flooders: Flooders,
}

impl ShutOut {
    /// Nobody is kept out, not by a daemon that was killed before this one either.
    pub(super) fn of(listener: &UnixListener) -> Self {
        let address = listener.local_addr().ok();
        let socket = address.and_then(|address| address.as_pathname().map(Path::to_owned));
        let socket = socket.filter(|socket| {
            let mine = is_own(socket) && clear(socket).is_ok();
            if !mine {
                tracing::warn!(socket = %socket.display(),
                    "cannot change the socket's access list: a UID that floods it is not shut out");
            }
            mine
        });
        Self {
            socket,
            flooders: Flooders::default(),
        }
    }

    /// A connection of this UID was closed without an answer.
    pub(super) fn closed(&mut self, uid: u32, now: Duration) {
        let Some(socket) = &self.socket else { return };
        // Root is kept out by no list.
        if uid == 0 || !self.flooders.closed(uid, now) {
            return;
        }
        if let Some(unsaid) = FLOODS.again() {
            tracing::warn!(
                uid,
                unsaid,
                seconds = FOR.as_secs(),
                "a UID floods the socket; refusing its connections for a while"
            );
        }
        self.write(&socket.clone());
    }

    /// Lets those in whose time is over.
    pub(super) fn forgive(&mut self, now: Duration) {
        let Some(socket) = &self.socket else { return };
        if self.flooders.forgive(now) {
            self.write(&socket.clone());
        }
    }

    /// How long nobody's time is over; `None` for ever.
    pub(super) fn pause(&self, now: Duration) -> Option<Duration> {
        let next = self.flooders.next()?;
        Some(next.saturating_sub(now))
    }

    fn write(&mut self, socket: &Path) {
        let written = if self.flooders.out.is_empty() {
            clear(socket)
        } else {
            mode_of(socket).and_then(|mode| {
                let list = list(mode, self.flooders.out.keys().copied());
                Ok(lsetxattr(socket, NAME, &list, XattrFlags::empty())?)
            })
        };
        if let Err(error) = written {
            tracing::warn!(socket = %socket.display(), %error,
                "cannot shut out a UID that floods the socket");
            // What is in the list already is taken out of it, if that can be.
            let _ = clear(socket);
            self.socket = None;
        }
    }
}

impl Drop for ShutOut {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            // The socket may be gone; so is its list then.
            let _ = clear(socket);
        }
    }
}

fn clear(socket: &Path) -> io::Result<()> {
    // Where there is no list, removing it would change the socket's time all the same.
    if lgetxattr(socket, NAME, &mut [0_u8; 0]) == Err(Errno::NODATA) {
        return Ok(());
    }
    match lremovexattr(socket, NAME) {
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn mode_of(socket: &Path) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::symlink_metadata(socket)?.mode())
}

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;
const ENTRY: usize = 8;

/// The list that gives these UIDs nothing and everybody else what the mode says
/// (linux/posix_acl_xattr.h; entries in this order, UIDs rising).
fn list(mode: u32, uids: impl Iterator<Item = u32>) -> Vec<u8> {
    let bits = |shift: u32| u16::try_from((mode >> shift) & 0o7).unwrap_or(0);
    let mut list = VERSION.to_le_bytes().to_vec();
    let mut entry = |tag: u16, permissions: u16, id: u32| {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    };
    entry(USER_OBJ, bits(6), NO_ID);
    for uid in uids {
        entry(USER, 0, uid);
    }
    entry(GROUP_OBJ, bits(3), NO_ID);
    // It is what the mode shows as the group's.
    entry(MASK, bits(3), NO_ID);
    entry(OTHER, bits(0), NO_ID);
    list
}

/// False where an administrator has made a list for this socket: that one is not touched.
fn is_own(socket: &Path) -> bool {
    let mut bytes = vec![0; 4 + ENTRY * (MAX_OUT + 4)];
    match lgetxattr(socket, NAME, &mut *bytes) {
        Ok(length) => bytes.get(..length).is_some_and(only_shuts_out),
        Err(errno) => errno == Errno::NODATA,
    }
}

fn only_shuts_out(list: &[u8]) -> bool {
    let Some((_, entries)) = list.split_at_checked(4) else {
        return false;
    };
    entries.chunks(ENTRY).all(|entry| match entry {
        [tag, 0, permissions, 0, ..] => match u16::from(*tag) {
            USER => *permissions == 0,
            USER_OBJ | GROUP_OBJ | MASK | OTHER => true,
            _ => false,
        },
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory on a tmpfs, as /run is.
    fn run() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_uid_that_floods_is_locked_out_for_a_while_and_no_other() {
        let mut flooders = Flooders::default();
        for _ in 1..FLOOD {
            assert!(!flooders.closed(1, SECOND));
            assert!(!flooders.closed(2, SECOND / 2));
        }
        assert!(flooders.closed(1, SECOND));
        assert!(!flooders.closed(1, SECOND), "it is out already");
        assert_eq!(flooders.next(), Some(SECOND + FOR));
        // The next second is counted again.
        assert!(!flooders.closed(2, 3 * SECOND));
        assert!(!flooders.forgive(FOR));
        assert!(flooders.forgive(SECOND + FOR));
        assert_eq!(flooders.next(), None);
    }

    #[test]
    fn uids_without_number_are_not_remembered_without_number() {
        let mut flooders = Flooders::default();
        for uid in 0..5000 {
            for _ in 0..FLOOD {
                flooders.closed(uid, SECOND);
            }
        }
        assert_eq!(flooders.closed.len(), MAX_COUNTED);
        assert_eq!(flooders.out.len(), MAX_OUT);
    }

    #[test]
    fn the_kernel_takes_the_list_and_the_mode_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = run();
        let path = dir.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        for mode in [0o666, 0o660, 0o600] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let mut out = ShutOut::of(&listener);
            assert!(out.socket.is_some(), "a tmpfs has access lists");
            for _ in 0..FLOOD {
                out.closed(4711, SECOND);
                out.closed(12, SECOND);
            }
            let mut bytes = [0; 256];
            let length = lgetxattr(&path, NAME, &mut bytes[..]).unwrap();
            assert_eq!(bytes[..length], list(mode, [12, 4711].into_iter()));
            assert_eq!(mode_of(&path).unwrap() & 0o777, mode);
            out.forgive(SECOND + FOR);
            assert!(lgetxattr(&path, NAME, &mut bytes[..]).is_err());
            assert_eq!(mode_of(&path).unwrap() & 0o777, mode);
        }
    }

    #[test]
    fn a_socket_without_a_list_is_not_touched() {
        use std::os::unix::fs::MetadataExt;
        let dir = run();
        let path = dir.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let changed = || {
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            (metadata.ctime(), metadata.ctime_nsec())
        };
        let before = changed();
        std::thread::sleep(Duration::from_millis(30));
        drop(ShutOut::of(&listener));
        assert_eq!(changed(), before);
    }

    #[test]
    fn a_list_of_the_administrators_is_left_alone_and_one_of_ours_is_taken_away() {
        assert!(only_shuts_out(&list(0o666, [1, 2].into_iter())));
        let mut allows = list(0o660, [1000].into_iter());
        // The first entry after USER_OBJ: read and write for UID 1000.
        allows[4 + ENTRY + 2] = 6;
        assert!(!only_shuts_out(&allows));
        assert!(!only_shuts_out(&[0; 3]) && !only_shuts_out(&allows[..13]));
        let dir = run();
        let path = dir.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        lsetxattr(&path, NAME, &allows, XattrFlags::empty()).unwrap();
        assert!(ShutOut::of(&listener).socket.is_none());
        let left = list(0o666, [1000].into_iter());
        lsetxattr(&path, NAME, &left, XattrFlags::empty()).unwrap();
        assert!(ShutOut::of(&listener).socket.is_some());
        assert!(!is_own(&path) || lgetxattr(&path, NAME, &mut [0_u8; 256][..]).is_err());
    }
}
