#!/usr/bin/env bash
# HAProxy with a server that is followed by name (resolvers) takes a name that cannot be resolved for 30 s, its "hold nx", as a server
# that has failed, though its health check succeeds all the time: new connections are refused. With "on-marked-down
# shutdown-sessions", which is meant to free clients from a server that is dead, it also resets sessions that carry.
#
# Seen with haproxy 2.6.12-1+deb12u4, health checks every 2 s, the name gone from the name server at 0 s:
#   before: the session and a new connection echo: True
#   the session was reset after 30.5 s; the server itself still echoes: True
#   after: a new connection fails: True
exec python3 -B - "$(dirname "${BASH_SOURCE[0]}")" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
from rig import *

SETTINGS = """global
  stats socket {folder}/stats level user
defaults
  mode tcp
  timeout connect 5s
  timeout client 5m
  timeout server 5m
resolvers vpc
  nameserver one 127.0.0.1:{upstream}
listen database
  bind 127.0.0.1:{port}
  server writer {name}:{back} check resolvers vpc init-addr libc,none on-marked-down shutdown-sessions
"""


def serve(listener):
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=echo, args=(stream,), daemon=True).start()


def echo(stream):
    try:
        while said := stream.recv(64):
            stream.sendall(said)
    except OSError:
        pass


def connect(port):
    return socket.create_connection(("127.0.0.1", port), 5)


def echoes(stream):
    try:
        stream.sendall(b"ping")
        return stream.recv(64) == b"ping"
    except OSError:
        return False


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
back = listener.getsockname()[1]
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]

unpack("haproxy", "2.6.12-1+deb12u4")
server = NameServer()
server.names[NAME] = ("A", "127.0.0.1", 5)
settings = write(SETTINGS.format(folder=folder, port=port, back=back, upstream=server.port, name=NAME))
run(["haproxy", "-db", "-f", settings])
session = None
for _ in range(100):
    try:
        session = connect(port)
        if echoes(session):
            break
    except OSError:
        pass
    session = None
    time.sleep(0.2)
if session is None:
    sys.exit("haproxy carries nothing")
before = echoes(session) and echoes(connect(port))
print(f"before: the session and a new connection echo: {before}", flush=True)
time.sleep(6)

del server.names[NAME]
start = time.monotonic()
cut = None
while time.monotonic() - start < 60 and cut is None:
    if not echoes(session):
        cut = time.monotonic() - start
    time.sleep(0.5)
lives = echoes(connect(back))
print(f"the session was reset after {cut and round(cut, 1)} s; the server itself still echoes: {lives}", flush=True)
try:
    is_refused = not echoes(connect(port))
except OSError:
    is_refused = True
print(f"after: a new connection fails: {is_refused}")
holds = before and lives and is_refused and cut is not None and 20 < cut < 50
conclude(holds, "a name that is gone for 30 s ends sessions to a server whose health check succeeds")
PYTHON
