//! Ioctls of the loop driver (linux/loop.h, loop(4)), of block devices (linux/fs.h) and of ext4
//! (linux/ext4.h). All `unsafe` of this crate is here: no crate that is used here wraps these calls
//! safely.

#![expect(
    unsafe_code,
    reason = "these drivers speak ioctl(2) only; each call below says why it is sound"
)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

const LOOP_CLR_FD: libc::Ioctl = 0x4C01;
const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;
const LOOP_SET_CAPACITY: libc::Ioctl = 0x4C07;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const BLKROGET: libc::Ioctl = 0x125E;
const BLKGETDISKSEQ: libc::Ioctl = 0x8008_1280;
const EXT4_IOC_RESIZE_FS: libc::Ioctl = 0x4008_6610;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_NAME_SIZE: usize = 64;

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; LO_NAME_SIZE],
    crypt_name: [u8; LO_NAME_SIZE],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

// The kernel reads and writes this many bytes behind the pointers below.
const _: () = assert!(size_of::<Info>() == 232);
const _: () = assert!(size_of::<Config>() == 304);

const EMPTY: Info = Info {
    device: 0,
    inode: 0,
    rdevice: 0,
    offset: 0,
    size_limit: 0,
    number: 0,
    encrypt_type: 0,
    encrypt_key_size: 0,
    flags: 0,
    file_name: [0; LO_NAME_SIZE],
    crypt_name: [0; LO_NAME_SIZE],
    encrypt_key: [0; 32],
    init: [0; 2],
};

/// The file behind a loop device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backing {
    /// `st_dev` of the file.
    pub(super) device: u64,
    /// `st_ino` of the file.
    pub(super) inode: u64,
}

/// The number of a loop device that was free a moment ago. `control` is `/dev/loop-control`.
pub(super) fn free_number(control: impl AsFd) -> io::Result<u32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument and touches no memory of ours.
    let answer = unsafe { libc::ioctl(control.as_fd().as_raw_fd(), LOOP_CTL_GET_FREE) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// Puts `image` behind the free loop device `device`, all at once. The device frees itself when
/// its last user is gone, so a killed process leaks none. EBUSY: another was faster.
pub(super) fn configure(device: impl AsFd, image: impl AsFd, label: &str) -> io::Result<()> {
    let mut config = Config {
        fd: u32::try_from(image.as_fd().as_raw_fd()).map_err(io::Error::other)?,
        block_size: 0,
        info: Info {
            flags: LO_FLAGS_AUTOCLEAR,
            ..EMPTY
        },
        reserved: [0; 8],
    };
    let room = LO_NAME_SIZE - 1;
    for (to, from) in config
        .info
        .file_name
        .iter_mut()
        .zip(label.bytes().take(room))
    {
        *to = from;
    }
    // SAFETY: `config` is a whole loop_config (its size is asserted above) that lives through the
    // call; the kernel only reads it and keeps no pointer to it.
    let answer = unsafe {
        libc::ioctl(
            device.as_fd().as_raw_fd(),
            LOOP_CONFIGURE,
            &raw const config,
        )
    };
    done(answer)
}

/// What is behind `device`; `None` when nothing is.
pub(super) fn backing(device: impl AsFd) -> io::Result<Option<Backing>> {
    let mut info = EMPTY;
    // SAFETY: `info` is a whole loop_info64 (its size is asserted above), of plain integers for
    // which every bit pattern is valid; the kernel writes into it during the call only.
    let answer =
        unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
    match done(answer) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(Some(Backing {
            device: info.device,
            inode: info.inode,
        })),
    }
}

/// Takes the file from behind `device`, now or when its last user is gone.
pub(super) fn clear(device: impl AsFd) -> io::Result<()> {
    // SAFETY: LOOP_CLR_FD takes no argument and touches no memory of ours.
    done(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_CLR_FD) })
}

/// Makes `device` as large as its file is now.
pub(super) fn refresh_capacity(device: impl AsFd) -> io::Result<()> {
    // SAFETY: LOOP_SET_CAPACITY takes no argument and touches no memory of ours.
    done(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_SET_CAPACITY) })
}

/// True when nothing can be written to the block device.
pub(super) fn is_read_only(device: impl AsFd) -> io::Result<bool> {
    let mut flag: libc::c_int = 0;
    // SAFETY: BLKROGET writes one int to the pointer, during the call only.
    done(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), BLKROGET, &raw mut flag) })?;
    Ok(flag != 0)
}

/// The number of this attachment of the block device: another disk under the same name, or the
/// same disk attached again, has another one until the host restarts.
pub(super) fn disk_sequence(device: impl AsFd) -> io::Result<u64> {
    let mut number: u64 = 0;
    // SAFETY: BLKGETDISKSEQ writes one u64 to the pointer, during the call only.
    done(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), BLKGETDISKSEQ, &raw mut number) })?;
    Ok(number)
}

/// Grows the mounted ext4 that `mounted` is a file of to this many of its blocks.
pub(super) fn resize_ext4(mounted: impl AsFd, blocks: u64) -> io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one u64 from the pointer, during the call only.
    done(unsafe {
        libc::ioctl(
            mounted.as_fd().as_raw_fd(),
            EXT4_IOC_RESIZE_FS,
            &raw const blocks,
        )
    })
}

fn done(answer: libc::c_int) -> io::Result<()> {
    if answer == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
