"""Tries one operation after the other and prints `NAME: OK` or `NAME: ERRNO`, for the tables in
steps/25-apparmor.sh. Runs as the first process of a container, so it must not need anything but Python.

An attempt is NAME or NAME:ARGUMENT. Every attempt runs in a child of its own, because some of them change
the process that makes them."""

import ctypes
import errno
import os
import signal
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
PTRACE_TRACEME = 0
SYS_FINIT_MODULE = 313  # x86_64


def check(result):
    """The result of a C function, or its error."""
    if result == -1:
        raise OSError(ctypes.get_errno(), "failed")


def write(argument):
    path, _, text = argument.partition("=")
    with open(path, "w") as file:
        file.write(text)


def opened(flags):
    return lambda path: os.close(os.open(path, flags))


def make_socket(argument):
    family, kind, protocol = (int(number) for number in argument.split(","))
    socket.socket(family, kind, protocol).close()


def trace(_):
    check(libc.ptrace(PTRACE_TRACEME, 0, None, None))


def signals(_):
    """Ends a child by SIGTERM and another one by SIGKILL, and asks for the first process."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        child = os.fork()
        if child == 0:
            signal.pause()
        os.kill(child, number)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == number
    os.kill(1, 0)


def run(argument):
    child = os.posix_spawn(argument, [argument], {})
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise OSError(errno.EIO, "the program failed")


def run_copy(path):
    """Writes a program and runs it: what write xor execute forbids."""
    with open("/bin/true", "rb") as source, open(path, "wb") as copy:
        copy.write(source.read())
    os.chmod(path, 0o755)
    run(path)


def make_file(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))


ATTEMPTS = {
    "mount": lambda target: check(libc.mount(b"none", target.encode(), b"tmpfs", 0, None)),
    "bind": lambda target: check(libc.mount(b"/etc", target.encode(), None, 4096, None)),
    "umount": lambda target: check(libc.umount(target.encode())),
    "pivot": lambda target: check(libc.syscall(155, target.encode(), target.encode())),
    "trace": trace,
    "write": write,
    "read": opened(os.O_RDONLY),
    "wopen": opened(os.O_WRONLY),
    "make": make_file,
    "list": lambda path: os.listdir(path),
    "socket": make_socket,
    "mknod": lambda path: os.mknod(path, 0o020600, os.makedev(1, 3)),
    "unshare": lambda _: os.unshare(CLONE_NEWNS),
    "userns": lambda _: os.unshare(CLONE_NEWUSER),
    "chroot": lambda path: os.chroot(path),
    "module": lambda _: check(libc.syscall(SYS_FINIT_MODULE, -1, b"", 0)),
    "hostname": lambda name: socket.sethostname(name),
    "signals": signals,
    "run": run,
    "run-copy": run_copy,
}


def attempt(text):
    """`OK`, or the name of the error, tried in a child."""
    name, _, argument = text.partition(":")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ATTEMPTS[name](argument)
            said = "OK"
        except OSError as error:
            said = errno.errorcode.get(error.errno, str(error.errno))
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said or "ended"


for text in sys.argv[1:]:
    print(f"{text} {attempt(text)}", flush=True)
