#!/usr/bin/env bash
# dnsmasq with --use-stale-cache and a name that it knew, which upstream now says does not exist: clients are told NOERROR without an
# address, not NXDOMAIN. Without --use-stale-cache, or for a name that it never knew, it is NXDOMAIN.
#
# Seen with dnsmasq-base 2.90-4~deb12u2, the name taken away after the first answer:
#    0.0 s  NOERROR 10.0.1.5 A TTL 5 after 0.0 s
#    6.0 s  NOERROR 10.0.1.5 A TTL 0 EDE 3 after 0.0 s
#    7.0 s  NOERROR  SOA TTL 4 after 0.0 s
#   ... without --use-stale-cache
#    7.0 s  NXDOMAIN  SOA TTL 4 after 0.0 s
exec python3 -B - "$(dirname "${BASH_SOURCE[0]}")" <<'PYTHON'
import sys
import time
sys.path.insert(0, sys.argv[1])
from rig import *

unpack("dnsmasq-base", "2.90-4~deb12u2")


def codes(option):
    server, port = NameServer(), free_port()
    server.names[NAME] = ("A", "10.0.1.5", 5)
    command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file", "--log-facility=-", "--no-resolv"]
    command += ["--no-hosts", "--user=root", "--listen-address=127.0.0.1", "--bind-interfaces", f"--port={port}"]
    log = run(command + [f"--server=127.0.0.1#{server.port}"] + option)
    wait_until_ready(port, log)
    start = time.monotonic()
    show(start, ask(port, NAME))
    del server.names[NAME]
    told = []
    for second in (6, 7, 8, 9, 10):
        wait_for(start, second)
        told.append(ask(port, NAME))
        show(start, told[-1])
    print("a name that was never there:", ask(port, f"never.{DOMAIN}")["code"])
    return [(t["code"], t["addresses"]) for t in told[1:]]


stale = codes(["--use-stale-cache"])
print("without --use-stale-cache")
plain = codes([])
conclude(
    set(code for code, _ in plain) == {"NXDOMAIN"} and all(told == ("NOERROR", []) for told in stale),
    "that a name does not exist is told as NOERROR without data",
)
PYTHON
