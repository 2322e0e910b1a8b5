"""Runs where a thief stands: `listener.py ADDRESS PORT CERTIFICATE KEY FILE`. Answers TLS as whoever he claims to be.

Writes a line for each connection: the first line of the request that came, or why there was none.
"""

import json
import socket
import ssl
import sys

SECONDS = 10


def first_line(connection, context):
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            return {"request": secured.recv(4096).partition(b"\r\n")[0].decode(errors="replace")}
    except ssl.SSLError as error:
        return {"refused": error.reason or str(error)}
    except OSError as error:
        return {"refused": type(error).__name__}


def main():
    address, port, certificate, key, path = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The client says what is wrong before the server ends its handshake; TLS 1.3 would tell it later.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    with socket.create_server((address, int(port))) as serving, open(path, "a", buffering=1) as heard:
        heard.write(json.dumps({"listening": True}) + "\n")
        while True:
            connection, _ = serving.accept()
            connection.settimeout(SECONDS)
            heard.write(json.dumps(first_line(connection, context)) + "\n")


main()
