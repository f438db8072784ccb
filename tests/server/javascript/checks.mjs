// Runs checks one after the other, and prints what each returned, or its error, as one JSON object.
export async function report(checks) {
  const found = {};
  for (const [name, check] of Object.entries(checks)) {
    try {
      found[name] = { value: await check() };
    } catch (error) {
      const status = error.status ?? error.status_code ?? error.statusCode;
      found[name] = { error: `${error.name}: ${error.message} ${error.responseBody ?? ""}`, status };
    }
  }
  process.stdout.write(JSON.stringify(found));
}

// Collects what an asynchronous iterator yields.
export async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

// Aborts work after its first part, and says how it ended: in an error with that name, or as if nothing were wrong.
export async function aborted(start) {
  const abort = new AbortController();
  try {
    for await (const part of await start(abort.signal)) if (part) abort.abort();
    return abort.signal.aborted ? "ended" : "not aborted";
  } catch (error) {
    return error.name;
  }
}
