"""One user's listener drops every call unseen, so that the owner of the port goes on calling; then the same user opens that
very connection from the other end, as both ends of TCP may do at the same time. Says whether the owner is connected."""

import os
import socket
import sys
import time

owner, thief, port = map(int, sys.argv[1:])
at = ("127.0.0.1", port)
IP_MINTTL = 21


def opened_by(uid, bound_to):
    os.seteuid(uid)
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(bound_to)
    one.setblocking(False)
    os.seteuid(0)
    return one


def is_connected(one):
    try:
        one.getpeername()
        return True
    except OSError:
        return False


listener = opened_by(thief, at)
# More than a packet of this host has.
listener.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 255)
listener.listen()
caller = opened_by(owner, ("127.0.0.1", 0))
caller.connect_ex(at)
other_end = opened_by(thief, at)
other_end.connect_ex(caller.getsockname())
time.sleep(0.5)
print("connected" if is_connected(caller) or is_connected(other_end) else "alone")
