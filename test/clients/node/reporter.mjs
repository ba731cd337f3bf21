// Writes one JSON object a line for each finished test, for the Go test that runs the
// suites.
export default async function* reporter(source) {
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.nesting > 0 || data.details.type === 'suite') continue;
    const cause = data.details.error?.cause ?? data.details.error;
    yield JSON.stringify({
      name: data.name,
      ok: type === 'test:pass' && !data.skip && !data.todo,
      error: cause ? String(cause.stack ?? cause) : '',
    }) + '\n';
  }
}
