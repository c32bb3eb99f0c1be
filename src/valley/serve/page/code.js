/* A request as something to run elsewhere. There, media are read from files of their names. */

/* Lines of JSON with the text that `show` gives instead of each medium's data URI. */
function withFiles(value, media, show, escape = (text) => text) {
  const mark = (number) => `\u0000${number}`;
  const numbers = new Map(media.map((item, number) => [item.uri, number]));
  const marked = (_, part) => (numbers.has(part) ? mark(numbers.get(part)) : part);
  let text = escape(JSON.stringify(value, marked, 2));
  media.forEach((item, number) => {
    text = text.replaceAll(escape(JSON.stringify(mark(number))), () => show(item));
  });
  return text;
}

const inShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/* The body goes in as a document, because an argument has no room for a picture. */
export function curl(body, media, needsKey) {
  const read = (item) => `$(base64 < ${inShell(item.name)} | tr -d '\\n')`;
  return [
    `curl ${location.origin}/v1/chat/completions \\`,
    ...(needsKey ? ['  -H "Authorization: Bearer $VALLEY_API_KEY" \\'] : []),
    "  -H 'Content-Type: application/json' --data-binary @- <<JSON",
    withFiles(body, media, (item) => `"data:${item.type};base64,${read(item)}"`,
      (text) => text.replace(/[\\$`]/g, "\\$&")),
    "JSON",
  ].join("\n");
}

const READ_FILE = `

def data_uri(path, kind):
    with open(path, "rb") as file:
        return f"data:{kind};base64,{base64.b64encode(file.read()).decode()}"

`;

export function python({ model, messages, ...options }, media, needsKey) {
  const string = JSON.stringify;
  const read = (item) => `data_uri(${string(item.name)}, ${string(item.type)})`;
  const { valley, ...others } = options;
  const given = { ...others, ...(valley && { extra_body: { valley } }) };
  const names = Object.entries(given).map(([name, value]) =>
    `    ${name}=${string(value).replace(/true|false/, (word) => word[0].toUpperCase() + word.slice(1))},`);
  return [
    ...(media.length ? ["import base64"] : []),
    ...(needsKey ? ["import os"] : []),
    "from openai import OpenAI",
    ...(media.length ? [READ_FILE] : [""]),
    `client = OpenAI(base_url="${location.origin}/v1", api_key=${needsKey ? 'os.environ["VALLEY_API_KEY"]' : '"none"'})`,
    "reply = client.chat.completions.create(",
    `    model=${string(model)},`,
    `    messages=${withFiles(messages, media, read).replaceAll("\n", "\n    ")},`,
    ...names,
    ")",
    "print(reply.choices[0].message.content)",
  ].join("\n");
}
