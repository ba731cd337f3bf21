// A backend that answers with what it was asked. The methods are those of
// clinvk.backend.v1.BackendService; what it does not have is not asked for.
'use strict';
const { once } = require('node:events');
const { setTimeout: pause } = require('node:timers/promises');
const { version } = require('./package.json');

const models = [
  { id: 'echo', title: 'Echo: the text of the last user message', is_default: true },
  { id: 'slow', title: 'Slow echo: word by word over about two seconds' },
];

// log writes a line that the host logs with its level.
function log(level, message) {
  console.error(JSON.stringify({ '@level': level, '@message': message }));
}

exports.Describe = (call, reply) => reply(null, {
  name: 'node', version, title: 'Node.js example', capabilities: { chat: {} },
});
exports.Configure = (call, reply) => reply(null, {});
exports.Health = (call, reply) => reply(null, { state: 'HEALTH_STATE_READY' });
exports.ListModels = (call, reply) => reply(null, { models });

exports.Execute = (call) => {
  const gone = new AbortController(); // the hard stop: the client went away, or time is up
  const stop = new AbortController(); // the soft stop: finish early, with usage
  call.on('cancelled', () => gone.abort());
  call.on('data', ({ start, interrupt }) => { // anything else is to be ignored
    if (interrupt) stop.abort();
    if (start) {
      turn(call, start, gone.signal, stop.signal).catch((err) => {
        log(gone.signal.aborted ? 'debug' : 'error', `turn ${start.execution_id} broke off: ${err.message}`);
        call.destroy(err);
      });
    }
  });
};

async function turn(call, start, gone, stop) {
  let sequence = 0;
  const send = async (event) => {
    gone.throwIfAborted();
    if (!call.write({ sequence: ++sequence, ...event })) await once(call, 'drain', { signal: gone });
  };
  const model = models.find(({ id }) => id === (start.model || 'echo'));
  if (!model) {
    await send({ failed: { code: 'ERROR_CODE_NOT_FOUND', message: `node has no model "${start.model}"` } });
    return call.end();
  }
  await send({ started: { model: model.id } });
  const words = lastText(start.messages).match(/\S*\s*/g).slice(0, -1);
  const usage = { input_tokens: words.length, output_tokens: 0, estimated: true };
  const either = AbortSignal.any([gone, stop]);
  for (const text of words) {
    if (model.id === 'slow' && usage.output_tokens > 0) {
      await pause(2000 / (words.length - 1), null, { signal: either }).catch(() => {});
    }
    if (stop.aborted) break;
    await send({ text_delta: { text } });
    usage.output_tokens++;
  }
  await send({ usage });
  await send({ completed: { finish_reason: stop.aborted ? 'FINISH_REASON_INTERRUPTED' : 'FINISH_REASON_STOP', usage, model: model.id } });
  return call.end();
}

function lastText(messages) {
  const last = messages.findLast(({ role }) => role === 'ROLE_USER');
  return last.parts.map(({ text }) => text ?? '').join('');
}
