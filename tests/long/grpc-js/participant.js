// A participant of grpc-js, written against stream.proto: it adds 1 to all numbers of the model, until the server says
// good-bye. Its environment says where and how: ADDRESS, NAME, PROTO, and with TLS and a token CA, TOKEN.
"use strict";

const fs = require("fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const environment = process.env;
const LIMIT = 64 << 20;

const definition = loader.loadSync(environment.PROTO, { keepCase: true, longs: Number, oneofs: true });
const { ParticipantManager } = grpc.loadPackageDefinition(definition);

function credentials() {
    if (!environment.CA) return grpc.credentials.createInsecure();
    const channel = grpc.credentials.createSsl(fs.readFileSync(environment.CA));
    const call = grpc.credentials.createFromMetadataGenerator((_, give) => {
        const metadata = new grpc.Metadata();
        metadata.set("authorization", `Bearer ${environment.TOKEN}`);
        give(null, metadata);
    });
    return grpc.credentials.combineChannelCredentials(channel, call);
}

// An .npy file of float32, each number one more.
function more(file) {
    const bytes = Buffer.from(file);
    const start = bytes[6] === 1 ? 10 + bytes.readUInt16LE(8) : 12 + bytes.readUInt32LE(8);
    if (!bytes.toString("latin1", 0, start).includes("'<f4'")) throw new Error("not float32");
    for (let at = start; at < bytes.length; at += 4) bytes.writeFloatLE(bytes.readFloatLE(at) + 1, at);
    return bytes;
}

const client = new ParticipantManager(environment.ADDRESS, credentials(), {
    "grpc.max_receive_message_length": LIMIT,
    "grpc.max_send_message_length": LIMIT,
    "grpc.keepalive_time_ms": 30000,
    "grpc.keepalive_timeout_ms": 20000,
});
const stream = client.Connect(new grpc.Metadata({ waitForReady: true }));
let turns = 0;

stream.on("data", (message) => {
    if (message.content === "welcome") {
        stream.write({});
    } else if (message.content === "train_config") {
        const { theta, names } = message.train_config;
        const scalars = [{ name: "num_samples", value: 1 }, { name: "loss", value: 0.5 }];
        const result = { theta: theta.map((array) => ({ ndarray: more(array.ndarray) })), names, scalars };
        turns += 1;
        stream.write({ turn: message.turn, result });
    } else if (message.turn && message.content !== "cancel") {
        stream.write({ turn: message.turn, unknown_instruction: true });
    }
});
stream.on("end", () => stream.end());
stream.on("error", (error) => console.log(`${error.code}: ${error.details}`));
stream.on("status", (status) => {
    console.log(`status ${status.code} after ${turns} turns`);
    client.close();
});
stream.write({ hello: { name: environment.NAME, max_message_size: LIMIT } });
