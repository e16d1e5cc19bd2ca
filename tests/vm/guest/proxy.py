"""Stands for a tenant's caddy: takes PROXY headers (version 2, IPv4) on 9080 and 9443 of ADDRESS, and answers every
request with NAME and the visitor's address. With CERTIFICATE, which holds the key too, it speaks TLS on 9443.

    proxy.py NAME ADDRESS CERTIFICATE
"""

import socket
import ssl
import sys
import threading

NAME, ADDRESS, CERTIFICATE = sys.argv[1:]
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
TLS.load_cert_chain(CERTIFICATE)


def visitor(connection):
    """The address in the header, which is exactly 28 bytes for TCP over IPv4."""
    head = connection.recv(28, socket.MSG_WAITALL)
    assert head[:14] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11", head
    return socket.inet_ntoa(head[16:20])


def serve(connection, port):
    try:
        name = f"{NAME} {visitor(connection)}\n".encode()
        if port == 9443:
            connection = TLS.wrap_socket(connection, server_side=True)
        asked = b""
        while b"\r\n\r\n" not in asked:
            some = connection.recv(4096)
            if not some:
                return
            asked += some
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))
    finally:
        connection.close()


def listen(port):
    with socket.create_server((ADDRESS, port)) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection, port), daemon=True).start()


for port in (9080, 9443):
    threading.Thread(target=listen, args=(port,)).start()
