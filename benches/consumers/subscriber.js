// pg-logical-replication as its README says, with a listener for errors, without which the first of them ends the process.
// Where to connect to is in libpq's environment variables. Prints each inserted row's number.

const { LogicalReplicationService, PgoutputPlugin } = require("pg-logical-replication");

const [slot] = process.argv.slice(2);
const service = new LogicalReplicationService({}, { acknowledge: { auto: true, timeoutSeconds: 10 } });
const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: ["changes"] });

service.on("data", (_lsn, change) => {
  if (change.tag === "insert") console.log(change.new.n);
});
service.on("error", (error) => console.error(`${error}`));

(function proc() {
  service
    .subscribe(plugin, slot)
    .catch((error) => console.error(`${error}`))
    .then(() => setTimeout(proc, 100));
})();
