"""One user's listener drops every call unseen, so that whoever calls the port goes on calling; then the same user opens that
very connection from the other end, as both ends of TCP may do at the same time. Says whether the caller is connected.
    meet.py CALLER THIEF PORT [ADDRESS NETNS]    the caller is in that network namespace, else on the same loopback"""

import ctypes
import os
import socket
import sys
import time

caller_uid, thief, port = map(int, sys.argv[1:4])
address, namespace = sys.argv[4:] or ("127.0.0.1", None)
IP_MINTTL = 21
CLONE_NEWNET = 0x40000000


def opened_by(uid, bound_to):
    os.seteuid(uid)
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if bound_to:
        one.bind(bound_to)
    one.setblocking(False)
    os.seteuid(0)
    return one


def opened_within(path, uid):
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as here, open(path) as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        one = opened_by(uid, None)
        assert libc.setns(here.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    return one


def is_connected(one):
    try:
        one.getpeername()
        return True
    except OSError:
        return False


listener = opened_by(thief, (address, port))
# More than a packet of this host has.
listener.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 255)
listener.listen()
caller = opened_within(namespace, caller_uid) if namespace else opened_by(caller_uid, (address, 0))
caller.connect_ex((address, port))
other_end = opened_by(thief, (address, port))
other_end.connect_ex(caller.getsockname())
time.sleep(0.5)
print("connected" if is_connected(caller) or is_connected(other_end) else "alone")
