/* The server's API. What it refuses becomes an error whose message is a sentence for the user. */

export class Refused extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

let key = "";
export const setKey = (value) => { key = value; };
export const hasKey = () => key !== "";

async function call(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const options = body ? { method: "POST", body: JSON.stringify(body) } : {};
  const response = await reach(() => fetch(path, { ...options, headers, signal }),
    "The server does not answer. It may have ended, or what was sent is too large.");
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  throw new Refused(said?.error?.message ?? `The server answered ${response.status}.`, response.status);
}

/* What the network does wrong, in words. */
async function reach(work, problem) {
  try {
    return await work();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refused(problem);
  }
}

export const ready = () => fetch("/ready").then((response) => response.ok, () => false);

export async function model() {
  return (await (await call("/v1/models")).json()).data[0].id;
}

export async function count(body, signal) {
  return (await call("/v1/count", body, signal)).json();
}

/* The chunks of an answer, which the server sends as events. */
export async function* chunks(body, signal) {
  const streamed = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await call("/v1/chat/completions", streamed, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let waiting = ""; ;) {
    const broken = "The answer broke off: the connection ended.";
    const { value, done } = await reach(() => reader.read(), broken);
    if (done) throw new Refused(broken);
    const lines = (waiting + value).split("\n");
    waiting = lines.pop();
    for (const line of lines.filter((text) => text.startsWith("data: "))) {
      if (line === "data: [DONE]") return;
      const chunk = JSON.parse(line.slice(6));
      if (chunk.error) throw new Refused(chunk.error.message);
      yield chunk;
    }
  }
}
