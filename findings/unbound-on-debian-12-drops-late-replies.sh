#!/usr/bin/env bash
# Unbound of Debian 12 has a limit that its manual page does not know: discard-timeout, 1900 ms, which came with the fix of a later
# version. A reply that is ready later is not sent, nor SERVFAIL in its place: a client whose answer takes longer hears nothing,
# however long it waits, while the answer goes into the cache. With "discard-timeout: 0" it hears it.
#
# Seen with unbound 1.17.1-2+deb12u4, a client that waits 10 s, each reply of upstream 1.5 s late (Unbound asks again before that, so
# that it takes 5.5 s):
#   10.0 s  no reply
#   10.0 s  NOERROR 10.0.1.5 A TTL 296 after 0.0 s
#   with discard-timeout: 0
#    5.5 s  NOERROR 10.0.1.5 A TTL 300 after 5.5 s
exec python3 -B - "$(dirname "${BASH_SOURCE[0]}")" <<'PYTHON'
import subprocess
import sys
import time
sys.path.insert(0, sys.argv[1])
from rig import *

SETTINGS = """server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1@{port}
  do-not-query-localhost: no
  module-config: "iterator"
  {line}
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
"""


def start_unbound(line):
    port = free_port()
    settings = write(SETTINGS.format(folder=folder, port=port, upstream=server.port, line=line))
    log = run(["unbound", "-d", "-p", "-c", settings])
    server.delay = 0
    wait_until_ready(port, log)
    server.delay = 1.5
    return port


unpack("unbound", "1.17.1-2+deb12u4")
server = NameServer()
server.names[NAME] = ("A", "10.0.1.5", 300)
manual = subprocess.run(["zcat", f"{folder}/root/usr/share/man/man5/unbound.conf.5.gz"], capture_output=True).stdout

port = start_unbound("")
start = time.monotonic()
first = ask(port, NAME, timeout=10)
show(start, first)
second = ask(port, NAME, timeout=10)
show(start, second)
print("with discard-timeout: 0")
port = start_unbound("discard-timeout: 0")
start = time.monotonic()
without = ask(port, NAME, timeout=10)
show(start, without)
is_dropped = first is None and second["addresses"] == without["addresses"] == ["10.0.1.5"]
conclude(is_dropped and manual and b"discard-timeout" not in manual, "a reply that takes longer than 1.9 s is dropped, by a limit that the manual page lacks")
PYTHON
