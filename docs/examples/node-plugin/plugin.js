// What makes a Node.js program a plugin of clinvk. It can be copied as it is: what
// the backend does is in backend.js.
'use strict';
const { X509Certificate } = require('node:crypto');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const { HealthImplementation } = require('grpc-health-check');
const backend = require('./backend');

const env = process.env;
if (env.CLINVK_PLUGIN_COOKIE !== '5b0e2f1c-clinvk-backend-plugin-v1') {
  console.error('This is a plugin of clinvk, which starts it by itself.');
  process.exit(1);
}
process.on('SIGINT', () => {}); // a Ctrl-C is for the host, which ends its plugins
process.stdin.on('end', () => process.exit(0)).resume(); // the host has gone

const server = new grpc.Server({ 'grpc.max_receive_message_length': 64 << 20, 'grpc.max_send_message_length': 8 << 20 });
const contract = loader.loadSync('clinvk/backend/v1/backend.proto', {
  keepCase: true, enums: String, includeDirs: ['proto', '../../../proto'].map((dir) => path.join(__dirname, dir)),
});
server.addService(contract['clinvk.backend.v1.BackendService'], backend);
new HealthImplementation({ plugin: 'SERVING' }).addToServer(server);
const [write, read] = [() => Buffer.alloc(0), () => ({})]; // the empty message
server.addService({
  Shutdown: {
    path: '/plugin.GRPCController/Shutdown', requestStream: false, responseStream: false,
    requestSerialize: write, requestDeserialize: read, responseSerialize: write, responseDeserialize: read,
  },
}, { Shutdown: (call, reply) => { reply(null, {}); server.tryShutdown(() => process.exit(0)); } });

// credentials are TLS with a certificate made for this process, when the host has
// made one as well (AutoMTLS), else none: the manifest then says "plain".
async function credentials() {
  if (!env.PLUGIN_CLIENT_CERT) return [grpc.ServerCredentials.createInsecure(), ''];
  const own = await require('selfsigned').generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec', algorithm: 'sha256', extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  });
  const pair = { private_key: Buffer.from(own.private), cert_chain: Buffer.from(own.cert) };
  const certificate = new X509Certificate(own.cert).raw.toString('base64').replace(/=+$/, '');
  return [grpc.ServerCredentials.createSsl(Buffer.from(env.PLUGIN_CLIENT_CERT), [pair], true), certificate];
}

async function serve() {
  const [creds, certificate] = await credentials();
  const socket = path.join(env.PLUGIN_UNIX_SOCKET_DIR, 'plugin.sock');
  server.bindAsync(`unix:${socket}`, creds, (err) => {
    if (err) throw err;
    console.log(`1|1|unix|${socket}|grpc|${certificate}`);
  });
}

serve();
