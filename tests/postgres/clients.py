"""Clients that live through failovers as clients should: when their connection has ended they connect anew, and nothing
else. They have no time-outs, so that a connection which nobody ends is never left. Where to connect to is in libpq's
environment variables.

  clients.py consume SLOT   prints each inserted row, decoded by pgoutput, and confirms each transaction
  clients.py once SLOT      the same, until its connection ends: then it ends with the error
  clients.py write          writes numbered rows one by one, and prints each when its commit has been acknowledged
"""

import contextlib
import itertools
import struct
import sys
import time

import psycopg2
from psycopg2.extras import LogicalReplicationConnection

# Short, because what is measured is not the clients' patience.
PAUSE_SECONDS = 0.1
WRITES_APART_SECONDS = 0.02


def consume(slot):
    with_new_connections(lambda connection: stream(connection, slot), LogicalReplicationConnection)


def once(slot):
    with contextlib.closing(psycopg2.connect("", connection_factory=LogicalReplicationConnection)) as connection:
        stream(connection, slot)


def receive(message):
    kind, body = message.payload[:1], message.payload[1:]
    if kind == b"I":
        print(*values(body), flush=True)
    elif kind == b"C":
        # Flags, LSN of the commit, LSN of its end: that far everything has been printed.
        message.cursor.send_feedback(flush_lsn=struct.unpack_from(">BQQ", body)[2])


def stream(connection, slot):
    cursor = connection.cursor()
    cursor.start_replication(slot, decode=False, options={"proto_version": "1", "publication_names": "changes"})
    cursor.consume_stream(receive)


def values(insert):
    """The columns of an Insert message: relation, 'N', their number, and each as kind, length and text."""
    (count,) = struct.unpack_from(">H", insert, 5)
    at = 7
    for _ in range(count):
        (length,) = struct.unpack_from(">I", insert, at + 1)
        at += 5 + length
        yield insert[at - length : at].decode()


def write():
    numbers = itertools.count(1)
    number = next(numbers)

    def insert(connection):
        nonlocal number
        connection.autocommit = True
        with connection.cursor() as cursor:
            while True:
                # It may have been committed before the connection ended.
                cursor.execute(
                    "INSERT INTO rows VALUES (%s) ON CONFLICT (n) DO UPDATE SET n = excluded.n RETURNING n, server",
                    [number],
                )
                print(*cursor.fetchone(), flush=True)
                number = next(numbers)
                time.sleep(WRITES_APART_SECONDS)

    with_new_connections(insert)


def with_new_connections(use, factory=None):
    while True:
        try:
            with contextlib.closing(psycopg2.connect("", connection_factory=factory)) as connection:
                use(connection)
        except psycopg2.Error as error:
            print(f"{time.monotonic():.2f}: {error}".rstrip().replace("\n", "; "), file=sys.stderr, flush=True)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    {"consume": consume, "once": once, "write": write}[sys.argv[1]](*sys.argv[2:])
