#!/usr/bin/env bash
# BIND 9.18 with "stale-answer-client-timeout 0", which answers with what has expired and fetches it anew meanwhile: of an alias that
# leads to an address, it fetches the address and never the alias. An alias that is changed keeps its old target for as long as
# somebody asks, up to max-stale-ttl (a day), although the name server behind BIND answers each question at once. Where the name has
# an address and no alias, the second query has the new one.
#
# Seen with bind9 1:9.18.49-1~deb12u3, asked every 6 s for a minute, the alias changed after the first answer:
#    6.0 s  NOERROR 10.0.1.5 CNAME TTL 30 A TTL 30 EDE 3 after 0.0 s
#   12.0 s  NOERROR 10.0.1.5 CNAME TTL 30 A TTL 30 EDE 3 after 0.0 s
#   ... the same to the end
#   upstream was asked for the alias 1 time, for its old target 10 times
exec python3 -B - "$(dirname "${BASH_SOURCE[0]}")" <<'PYTHON'
import sys
import time
sys.path.insert(0, sys.argv[1])
from rig import *

SETTINGS = """options {{
  directory "{folder}"; pid-file none; lock-file none; session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  dnssec-validation no; forward only; forwarders {{ 127.0.0.1 port {upstream}; }};
  stale-cache-enable yes; stale-answer-enable yes; stale-answer-client-timeout 0;
}};
controls {{ }};
"""
ONE, TWO = f"one.abc123.{DOMAIN}", f"two.abc123.{DOMAIN}"
PLAIN = f"plain.{DOMAIN}"

unpack("bind9", "1:9.18.49-1~deb12u3")
server, port = NameServer(), free_port()
server.names |= {NAME: ("CNAME", ONE, 5), ONE: ("A", "10.0.1.5", 5), TWO: ("A", "10.0.2.7", 5), PLAIN: ("A", "10.0.1.5", 5)}
settings = write(SETTINGS.format(folder=folder, port=port, upstream=server.port))
log = run(["named", "-g", "-4", "-n", "1", "-c", settings])
wait_until_ready(port, log)

start = time.monotonic()
ask(port, NAME), ask(port, PLAIN)
server.names |= {NAME: ("CNAME", TWO, 5), PLAIN: ("A", "10.0.2.7", 5)}
aliased, plain = [], []
for second in range(6, 66, 6):
    wait_for(start, second)
    aliased.append(ask(port, NAME))
    show(start, aliased[-1])
    plain.append(ask(port, PLAIN)["addresses"])
print("upstream was asked for the alias", server.asked.count(NAME), "time, for its old target", server.asked.count(ONE), "times")
stays = all(told["addresses"] == ["10.0.1.5"] for told in aliased) and server.asked.count(NAME) == 1
conclude(stays and plain[1:] == [["10.0.2.7"]] * 9, "an alias that has expired is never fetched anew, an address is")
PYTHON
