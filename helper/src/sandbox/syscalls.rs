//! Which system calls a daemon may make, by seccomp: an allow-list, so that a call that the kernel
//! learns tomorrow is refused. A refused call fails with EPERM, which the log shows; nothing is killed.
//!
//! Threads and programs that a daemon starts inherit the filter. The lists are for what Rust's
//! standard library, tokio and glibc 2.36 to 2.41 call; the tests of the daemons run under them.

use std::collections::BTreeMap;

use libc as c;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::SandboxError;

/// What a daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Answers on Unix sockets and appends to its log.
    Serve,
    /// The same, makes and gives away files and directories, and runs programs.
    ServeAndChange,
}

/// Memory and threads of its own.
const PROCESS: &[c::c_long] = &[
    c::SYS_brk,
    c::SYS_exit,
    c::SYS_exit_group,
    c::SYS_futex,
    c::SYS_get_robust_list,
    c::SYS_getpid,
    c::SYS_getppid,
    c::SYS_getrandom,
    c::SYS_gettid,
    c::SYS_madvise,
    c::SYS_membarrier,
    c::SYS_mmap,
    c::SYS_mprotect,
    c::SYS_mremap,
    c::SYS_munmap,
    c::SYS_restart_syscall,
    c::SYS_rseq,
    c::SYS_rt_sigaction,
    c::SYS_rt_sigpending,
    c::SYS_rt_sigprocmask,
    c::SYS_rt_sigreturn,
    c::SYS_rt_sigsuspend,
    c::SYS_rt_sigtimedwait,
    c::SYS_sched_getaffinity,
    c::SYS_sched_yield,
    c::SYS_set_robust_list,
    c::SYS_sigaltstack,
    // Names a thread; what else prctl(2) could do needs privileges that are gone.
    c::SYS_prctl,
    // Ends itself after a panic: abort(3).
    c::SYS_tgkill,
];

/// Questions that change nothing.
const ASKING: &[c::c_long] = &[
    c::SYS_capget,
    c::SYS_clock_getres,
    c::SYS_clock_gettime,
    c::SYS_getegid,
    c::SYS_geteuid,
    c::SYS_getgid,
    c::SYS_getgroups,
    c::SYS_getresgid,
    c::SYS_getresuid,
    c::SYS_getrusage,
    c::SYS_gettimeofday,
    c::SYS_getuid,
    c::SYS_sysinfo,
    c::SYS_times,
    c::SYS_uname,
    // getrlimit(3); setting one's own limits higher needs CAP_SYS_RESOURCE.
    c::SYS_prlimit64,
];

/// Waiting, and the event loop.
const WAITING: &[c::c_long] = &[
    c::SYS_clock_nanosleep,
    c::SYS_epoll_create1,
    c::SYS_epoll_ctl,
    c::SYS_epoll_pwait,
    c::SYS_epoll_pwait2,
    c::SYS_eventfd2,
    c::SYS_nanosleep,
    c::SYS_ppoll,
    c::SYS_pselect6,
    c::SYS_timerfd_create,
    c::SYS_timerfd_gettime,
    c::SYS_timerfd_settime,
];

/// Open files and directories: looking, reading, and appending to the log.
const FILES: &[c::c_long] = &[
    c::SYS_chdir,
    c::SYS_close,
    c::SYS_close_range,
    c::SYS_dup,
    c::SYS_dup3,
    c::SYS_faccessat,
    c::SYS_faccessat2,
    c::SYS_fadvise64,
    c::SYS_fallocate,
    c::SYS_fchdir,
    c::SYS_fcntl,
    c::SYS_fdatasync,
    c::SYS_fgetxattr,
    c::SYS_flistxattr,
    c::SYS_flock,
    c::SYS_fstat,
    c::SYS_fstatfs,
    c::SYS_fsync,
    c::SYS_ftruncate,
    c::SYS_getcwd,
    c::SYS_getdents64,
    c::SYS_getxattr,
    c::SYS_ioctl,
    c::SYS_lgetxattr,
    c::SYS_llistxattr,
    // The access list of the own socket, where others flood it.
    c::SYS_lremovexattr,
    c::SYS_lsetxattr,
    c::SYS_lseek,
    c::SYS_mkdirat,
    c::SYS_newfstatat,
    c::SYS_openat,
    c::SYS_openat2,
    c::SYS_pipe2,
    c::SYS_pread64,
    c::SYS_preadv,
    c::SYS_pwrite64,
    c::SYS_pwritev,
    c::SYS_read,
    c::SYS_readlinkat,
    c::SYS_readv,
    c::SYS_renameat,
    c::SYS_renameat2,
    c::SYS_statfs,
    c::SYS_statx,
    c::SYS_syncfs,
    c::SYS_umask,
    c::SYS_unlinkat,
    c::SYS_write,
    c::SYS_writev,
];

/// Unix sockets; making one is judged by its family below.
const SOCKETS: &[c::c_long] = &[
    c::SYS_accept,
    c::SYS_accept4,
    c::SYS_bind,
    c::SYS_connect,
    c::SYS_getpeername,
    c::SYS_getsockname,
    c::SYS_getsockopt,
    c::SYS_listen,
    c::SYS_recvfrom,
    c::SYS_recvmsg,
    c::SYS_sendmsg,
    c::SYS_sendto,
    c::SYS_setsockopt,
    c::SYS_shutdown,
];

/// The same by the names that only older architectures have; glibc still calls them there.
#[cfg(target_arch = "x86_64")]
const OLD: &[c::c_long] = &[
    c::SYS_access,
    c::SYS_epoll_wait,
    c::SYS_getdents,
    c::SYS_lstat,
    c::SYS_mkdir,
    c::SYS_open,
    c::SYS_pipe,
    c::SYS_poll,
    c::SYS_readlink,
    c::SYS_rename,
    c::SYS_rmdir,
    c::SYS_select,
    c::SYS_stat,
    c::SYS_time,
    c::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[c::c_long] = &[];

/// Owners, modes and contents of the tenants' directories; what the policy compiler does in its
/// directories; modes are judged below. Devices and links are nobody's work here.
const CHANGING: &[c::c_long] = &[
    c::SYS_copy_file_range,
    c::SYS_fchown,
    c::SYS_fchownat,
    c::SYS_fremovexattr,
    c::SYS_fsetxattr,
    c::SYS_removexattr,
    c::SYS_sendfile,
    c::SYS_utimensat,
];

/// Running a program and waiting for it; what its start and glibc need. Signals reach its own
/// children only, where Landlock can say so.
const PROGRAMS: &[c::c_long] = &[
    c::SYS_execve,
    c::SYS_getpgid,
    c::SYS_getpriority,
    c::SYS_getsid,
    c::SYS_kill,
    c::SYS_pidfd_open,
    c::SYS_pidfd_send_signal,
    c::SYS_sched_getparam,
    c::SYS_sched_getscheduler,
    c::SYS_set_tid_address,
    c::SYS_setitimer,
    c::SYS_setpgid,
    c::SYS_setpriority,
    c::SYS_setsid,
    c::SYS_wait4,
    c::SYS_waitid,
];
#[cfg(target_arch = "x86_64")]
const OLD_PROGRAMS: &[c::c_long] = &[
    c::SYS_alarm,
    c::SYS_arch_prctl,
    c::SYS_dup2,
    c::SYS_fork,
    c::SYS_getpgrp,
    c::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_PROGRAMS: &[c::c_long] = &[];

/// Every kind of new namespace (clone(2)): a user namespace would give all capabilities in it.
const NEW_NAMESPACES: u64 = (c::CLONE_NEWNS
    | c::CLONE_NEWCGROUP
    | c::CLONE_NEWUTS
    | c::CLONE_NEWIPC
    | c::CLONE_NEWUSER
    | c::CLONE_NEWPID
    | c::CLONE_NEWNET) as u64;

/// The calls that change a mode, and which argument is the mode.
const CHMOD: &[(c::c_long, u8)] = &[
    (c::SYS_fchmod, 1),
    (c::SYS_fchmodat, 2),
    (c::SYS_fchmodat2, 2),
    #[cfg(target_arch = "x86_64")]
    (c::SYS_chmod, 1),
];
/// set-user-ID and set-group-ID: systemd's RestrictSUIDSGID= would forbid openat2(2) as well.
const SET_ID: u64 = 0o6000;

/// Allows this thread, and every thread and program that it starts, what `work` needs and nothing
/// else, for good.
///
/// # Errors
/// When the kernel has no seccomp, or the filter cannot be made.
pub fn allow_only(work: Work) -> Result<(), SandboxError> {
    install(work).map_err(|error| SandboxError::Seccomp(error.to_string()))
}

fn install(work: Work) -> Result<(), seccompiler::Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    // The arguments of clone3(2) lie in memory, where no filter sees them. ENOSYS makes glibc call
    // clone(2) instead.
    let clone3 = SeccompFilter::new(
        BTreeMap::from([(c::SYS_clone3, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(c::ENOSYS.unsigned_abs()),
        arch,
    )?;
    let listed = SeccompFilter::new(
        rules(work)?,
        SeccompAction::Errno(c::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        arch,
    )?;
    // The list last: it allows no further filter.
    for filter in [clone3, listed] {
        seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

fn rules(work: Work) -> Result<BTreeMap<c::c_long, Vec<SeccompRule>>, seccompiler::BackendError> {
    let serve = [PROCESS, ASKING, WAITING, FILES, SOCKETS, OLD];
    let change: &[&[c::c_long]] = match work {
        Work::Serve => &[],
        Work::ServeAndChange => &[CHANGING, PROGRAMS, OLD_PROGRAMS],
    };
    let lists = serve.iter().chain(change);
    let mut rules: BTreeMap<c::c_long, Vec<SeccompRule>> = lists
        .flat_map(|list| list.iter())
        .map(|call| (*call, Vec::new()))
        .collect();
    // Left to the filter before this one: of two that refuse, the kernel takes the later errno.
    rules.insert(c::SYS_clone3, Vec::new());
    rules.insert(
        c::SYS_clone,
        vec![only_if(0, SeccompCmpOp::MaskedEq(NEW_NAMESPACES), 0)?],
    );
    if work == Work::ServeAndChange {
        for (call, argument) in CHMOD {
            rules.insert(
                *call,
                vec![only_if(*argument, SeccompCmpOp::MaskedEq(SET_ID), 0)?],
            );
        }
    }
    for call in [c::SYS_socket, c::SYS_socketpair] {
        let unix = u64::from(c::AF_UNIX.unsigned_abs());
        rules.insert(call, vec![only_if(0, SeccompCmpOp::Eq, unix)?]);
    }
    Ok(rules)
}

fn only_if(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Dword,
        operator,
        value,
    )?])
}
