// npm's sparkplug-payload 1.0.3 as a codec, run by node: `node sparkplug_payload.cjs ENVIRONMENT`, where its packages are.
//
// A JSON object a line on stdin, one on stdout for each, in their order:
//
// {"topic", "payload"}  base64 of what was heard: {"topic", "seq", "timestamp", "metrics": [{"name", "type", "alias",
//                       "value", "timestamp", "isHistorical", "properties"}]}
// {"encode"}            a payload as the package takes it: {"payload"}, base64

const { createRequire } = require("node:module");
const readline = require("node:readline");

const require_ = createRequire(process.argv[2] + "/");
const sparkplug = require_("sparkplug-payload").get("spBv1.0");
const { Payload } = require_("sparkplug-payload/lib/sparkplugPayloadProto").org.eclipse.tahu.protobuf;
const UINT32 = 7;

// What births say, by edge node and device, alias or name.
const born = new Map();

// The package reads no metric without a type, which belongs into births alone (6.4.6), and a UInt32 from long_value, where
// the specification has int_value (6.4.16).
function prepared(topic, bytes) {
    const [, , kind, ...entity] = topic.split("/");
    const payload = Payload.decode(bytes);
    const key = (name) => `${entity.join("/")} ${name}`;
    for (const metric of payload.metrics) {
        const has = (field) => Object.prototype.hasOwnProperty.call(metric, field);
        const known = has("alias") ? key(`#${metric.alias}`) : key(metric.name);
        if (kind.endsWith("BIRTH")) {
            const said = { name: metric.name, datatype: metric.datatype };
            born.set(known, said);
            born.set(key(metric.name), said);
        } else if (!has("datatype")) {
            ({ name: metric.name, datatype: metric.datatype } = born.get(known));
        }
        if (metric.datatype === UINT32 && has("intValue")) {
            metric.longValue = metric.intValue;
            delete metric.intValue;
        }
    }
    return Payload.encode(payload).finish();
}

const plain = (_, value) => (value !== null && typeof value === "object" && "low" in value && "high" in value
    ? (value.unsigned ? value.high >>> 0 : value.high) * 2 ** 32 + (value.low >>> 0) : value);

readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const wanted = JSON.parse(line);
    const answer = wanted.encode !== undefined
        ? { payload: Buffer.from(sparkplug.encodePayload(wanted.encode)).toString("base64") }
        : { topic: wanted.topic, ...sparkplug.decodePayload(prepared(wanted.topic, Buffer.from(wanted.payload, "base64"))) };
    console.log(JSON.stringify(answer, plain));
});
