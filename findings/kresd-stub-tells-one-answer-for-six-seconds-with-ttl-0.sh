#!/usr/bin/env bash
# Knot Resolver 5 keeps an answer with a TTL of 1 s for cache.min_ttl (5 s, and a second of rounding), as documented; but with
# policy.STUB it tells the first client a TTL of 5 and all later ones 0, out of one entry. A TTL of 0 says that the answer is for this
# one question: a client that asks every second takes one answer for six. With policy.FORWARD it counts down from 5.
#
# Seen with knot-resolver 5.6.0-1+deb12u1, asked once a second, another address in each of upstream's answers:
#   policy.STUB
#    0.0 s  NOERROR 10.0.0.1 A TTL 5 after 0.0 s
#    1.0 s  NOERROR 10.0.0.1 A TTL 0 after 0.0 s
#   ... the same
#    6.0 s  NOERROR 10.0.0.2 A TTL 5 after 0.0 s
#   policy.FORWARD
#    0.0 s  NOERROR 10.0.0.1 A TTL 5 after 0.0 s
#    1.0 s  NOERROR 10.0.0.1 A TTL 4 after 0.0 s
exec python3 -B - "$(dirname "${BASH_SOURCE[0]}")" <<'PYTHON'
import sys
import time
sys.path.insert(0, sys.argv[1])
from rig import *

SETTINGS = """net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
trust_anchors.remove('.')
modules.unload('priming')
modules.unload('ta_update')
modules.unload('ta_signal_query')
cache.size = 10 * MB
policy.add(policy.all({policy}('127.0.0.1@{upstream}')))
"""


def ttls_of_the_first_answer(policy):
    print(policy)
    server, port = NameServer(), free_port()
    server.names[NAME] = ("A", "10.0.0.1", 1)
    # Each has its cache in the folder it is given.
    cache = f"{folder}/{policy}"
    command = ["kresd", "-n", "-c", write(SETTINGS.format(port=port, upstream=server.port, policy=policy)), cache]
    os.mkdir(cache)
    log = run(command)
    wait_until_ready(port, log)
    start = time.monotonic()
    told = []
    for second in range(8):
        wait_for(start, second)
        server.names[NAME] = ("A", f"10.0.0.{1 + server.asked.count(NAME)}", 1)
        told.append(ask(port, NAME))
        show(start, told[-1])
    return [t["ttls"]["A"] for t in told if t["addresses"] == ["10.0.0.1"]]


unpack("knot-resolver", "5.6.0-1+deb12u1")
stub = ttls_of_the_first_answer("policy.STUB")
forward = ttls_of_the_first_answer("policy.FORWARD")
is_so = len(stub) >= 5 and stub[0] == 5 and set(stub[1:]) == {0} and forward[:4] == [5, 4, 3, 2]
conclude(is_so, "one answer is told for six seconds, with a TTL of 0 from the second client on")
PYTHON
