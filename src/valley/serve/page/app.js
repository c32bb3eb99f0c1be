/* The page: what is being written, what was said, and what happens between them. */

import { Refused, chunks, count, hasKey, model, ready, setKey } from "./api.js";
import * as code from "./code.js";
import { located, mediaOf, request } from "./conversation.js";
import { Answer, figure, question, tokens } from "./view.js";

const at = (id) => document.getElementById(id);
const words = at("words");
const turns = [];
let draft = [];
let name = "";
let asking = null;
let counting = new AbortController();

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function complain(problem) {
  at("problem").hidden = !problem;
  at("problem").textContent = problem;
}

const written = () => ({ role: "user", text: words.value.trim(), media: draft });

function body(list) {
  return request(name, list, {
    system: at("system").value.trim(),
    most: at("most").valueAsNumber,
    thinking: at("thinking").value,
  });
}

/* ---- what it costs ---- */

let uncounted = false;
let timer;

async function recount() {
  counting.abort();
  const list = [...turns, written()];
  if (!name || !list.some((turn) => turn.text || turn.media.length)) {
    at("cost").value = "";
    return;
  }
  counting = new AbortController();
  const { signal } = counting;
  try {
    const cost = await count(body(list), signal);
    mediaOf(list).forEach((item, number) => {
      item.seen = cost.media[number];
      item.figure.show(item.seen);
    });
    at("cost").value = `${tokens(cost.prompt_tokens)} of ${cost.context.toLocaleString("en")}`;
    if (uncounted) complain("");
    uncounted = false;
  } catch (error) {
    if (signal.aborted) return;
    uncounted = true;
    at("cost").value = "";
    for (const item of draft) item.figure.show(null);
    refused(error);
  }
}

function countSoon() {
  if (asking) return; // its end counts
  clearTimeout(timer);
  counting.abort();
  timer = setTimeout(recount, 300);
}

/* ---- pictures and clips ---- */

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Refused(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}

async function add(files) {
  complain("");
  for (const file of files) {
    try {
      const clip = file.type.startsWith("video/");
      if (!clip && !file.type.startsWith("image/")) {
        throw new Refused(`${file.name} is neither a picture nor a clip.`);
      }
      const item = { name: file.name, type: file.type, clip, bytes: file.size, uri: await read(file) };
      item.url = URL.createObjectURL(file);
      item.figure = figure(item, () => remove(item));
      draft.push(item);
      at("media").append(item.figure.node);
    } catch (error) {
      refused(error);
    }
  }
  if (draft.length) countSoon();
  words.focus();
}

function remove(item) {
  draft = draft.filter((other) => other !== item);
  item.figure.node.remove();
  URL.revokeObjectURL(item.url);
  complain("");
  countSoon();
  words.focus();
}

/* ---- a question and its answer ---- */

async function ask() {
  if (asking || !name || !(words.value.trim() || draft.length)) return;
  clearTimeout(timer);
  complain("");
  begin();
  if (draft.some((item) => !item.seen)) await recount();
  const turn = written();
  const answer = new Answer();
  const shown = question(turn.text, turn.media);
  at("thread").append(shown, answer.node);
  shown.scrollIntoView();
  turns.push(turn);
  words.value = "";
  draft = [];
  const reply = { role: "assistant", text: "", thinking: "", media: [] };
  try {
    answer.end(await receive(answer, reply));
    turns.push(reply);
  } catch (error) {
    const { aborted } = asking.signal;
    if (turns.includes(turn)) broken(turn, reply, shown, answer, aborted ? "Stopped" : error.message);
    if (!aborted) refused(error);
  } finally {
    end();
    countSoon();
  }
}

/* What was said so far stays. If that is nothing, the question goes back to where it was written. */
function broken(turn, reply, shown, answer, why) {
  if (reply.text || reply.thinking) {
    answer.end(why);
    turns.push(reply);
    return;
  }
  turns.pop();
  draft = [...turn.media, ...draft];
  at("media").prepend(...turn.media.map((item) => item.figure.node));
  words.value = [turn.text, words.value].filter(Boolean).join("\n");
  shown.remove();
  answer.node.remove();
}

/* Fills in the reply; returns what is to be said below it. */
async function receive(answer, reply) {
  const started = performance.now();
  let usage, reason, extension;
  for await (const chunk of chunks(body(turns), asking.signal)) {
    usage = chunk.usage ?? usage;
    const [choice] = chunk.choices;
    if (!choice) continue;
    reply.text += choice.delta.content ?? "";
    reply.thinking += choice.delta.reasoning_content ?? "";
    reason = choice.finish_reason ?? reason;
    extension = choice.valley ?? extension;
    follow(() => answer.update(reply.thinking, reply.text));
  }
  follow(() => answer.show(located(extension.boxes, turns)));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const cost = `${tokens(usage.prompt_tokens)} read, ${usage.completion_tokens} written, ${seconds} s`;
  if (extension.cut_short) return `Cut short, because it repeats itself · ${cost}`;
  return reason === "length" ? `Cut at the limit of tokens · ${cost}` : cost;
}

/* Keeps the end in sight of whoever was looking at it. */
function follow(change) {
  const page = document.documentElement;
  const below = page.scrollHeight - page.scrollTop - page.clientHeight;
  change();
  if (below < 80) page.scrollTop = page.scrollHeight;
}

function begin() {
  asking = new AbortController();
  at("welcome").hidden = true;
  swap("ask", "stop");
}

function end() {
  asking = null;
  at("welcome").hidden = turns.length > 0;
  swap("stop", "ask");
  grow();
}

/* One button gives way to another, with the focus. */
function swap(gone, come) {
  const focused = document.activeElement === at(gone);
  at(come).hidden = false;
  at(gone).hidden = true;
  if (focused) at(come).focus();
}

function clear() {
  asking?.abort();
  for (const item of mediaOf(turns)) URL.revokeObjectURL(item.url);
  turns.length = 0;
  at("thread").replaceChildren();
  at("welcome").hidden = false;
  complain("");
  countSoon();
  words.focus();
}

/* ---- the server ---- */

function refused(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401) return askKey();
  complain(named(error.message));
  if (error.status === 503) starting();
}

function askKey() {
  at("key-form").hidden = false;
  complain(hasKey() ? "The server does not know this API key." : "");
  at("key").select();
}

/* The server knows a medium by its length alone. */
function named(message) {
  const media = [...mediaOf(turns), ...draft];
  return message.replace(/<(\d+) bytes>/g, (length, digits) =>
    media.find((item) => item.bytes === Number(digits))?.name ?? length);
}

async function connect() {
  try {
    name = await model();
  } catch (error) {
    at("model").textContent = "no access";
    refused(error);
    return;
  }
  document.title = `${name} · Valley`;
  at("key-form").hidden = true;
  complain("");
  await starting();
  countSoon();
}

async function starting() {
  while (!(await ready())) {
    at("model").textContent = `${name}, starting`;
    await wait(1000);
  }
  at("model").textContent = name;
}

/* ---- what the user does ---- */

function grow() {
  words.style.height = "auto";
  words.style.height = `${words.scrollHeight + 2}px`;
}

/* Words are counted while they are written, unless much would be sent again and again. */
words.addEventListener("input", () => {
  grow();
  const bytes = mediaOf([...turns, written()]).reduce((sum, item) => sum + item.bytes, 0);
  if (bytes < 2 ** 21) countSoon();
});
words.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask();
});
at("composer").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
at("stop").addEventListener("click", () => asking?.abort());
at("clear").addEventListener("click", clear);
at("options").addEventListener("change", countSoon);
at("files").addEventListener("change", async ({ target }) => {
  await add([...target.files]);
  target.value = "";
});
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(at("key").value.trim());
  words.focus();
  connect();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || at("code").open) return;
  if (asking) asking.abort();
  else at("options").open = false;
});
document.addEventListener("click", ({ target }) => {
  if (!at("options").contains(target)) at("options").open = false;
});
document.addEventListener("paste", (event) => {
  if (!event.clipboardData.files.length) return;
  event.preventDefault();
  add([...event.clipboardData.files]);
});

const dragging = (on) => document.body.classList.toggle("dragging", on);
document.addEventListener("dragenter", () => dragging(true));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dragging(false); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dragging(false);
  add([...event.dataTransfer.files]);
});

/* What would be asked next, or was asked last. */
function toShow() {
  const turn = written();
  if (turn.text || turn.media.length || !turns.length) return [...turns, turn];
  return turns.slice(0, turns.findLastIndex(({ role }) => role === "user") + 1);
}

at("show-code").addEventListener("click", () => {
  const list = toShow();
  for (const kind of ["curl", "python"]) {
    at(kind).textContent = code[kind](body(list), mediaOf(list), hasKey());
  }
  at("copied").textContent = "";
  at("code").showModal();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = at(button.dataset.copy);
    getSelection().selectAllChildren(text);
    try {
      await navigator.clipboard.writeText(text.textContent);
      at("copied").textContent = "Copied.";
    } catch {
      at("copied").textContent = "Selected: copy it with the keyboard.";
    }
  });
}

connect();
