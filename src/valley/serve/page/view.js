/* What the page shows. Words of a model or a user become text, never markup. */

export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/* Text, in which lines between ``` are code. */
export function prose(text) {
  return text.split(/^```.*\n?/m).map((part, number) =>
    number % 2
      ? make("pre", { tabIndex: 0 }, make("code", {}, part.replace(/\n$/, "")))
      : make("p", {}, part.trim())).filter((node) => node.textContent);
}

const times = ([width, height]) => `${width}×${height}`;
export const tokens = (number) => `${number.toLocaleString("en")} token${number === 1 ? "" : "s"}`;

function seen({ size, sees, frames, tiles, tokens: cost }, clip) {
  const parts = clip
    ? `${frames} frame${frames === 1 ? "" : "s"} of ${times(size)}, seen as ${times(sees)}`
    : `${times(size)}, seen as ${times(sees)}${tiles > 1 ? ` in ${tiles} tiles` : ""}`;
  return [parts, make("br"), tokens(cost)];
}

/* Its controls would hide so small a picture: they come when it is pointed at or focused. */
function clip({ url, name }) {
  const node = make("video", { src: url, muted: true, loop: true, preload: "auto", tabIndex: 0, "aria-label": name });
  const controls = (on) => () => { node.controls = on; };
  for (const event of ["pointerenter", "focus"]) node.addEventListener(event, controls(true));
  for (const event of ["pointerleave", "blur"]) node.addEventListener(event, controls(false));
  return node;
}

/* A picture or clip with what the model sees of it. It moves from the composer into its turn. */
export function figure(item, remove) {
  const alt = item.name;
  const preview = item.clip ? clip(item) : make("img", { src: item.url, alt });
  preview.addEventListener("error", () =>
    preview.replaceWith(make("div", { className: "blank" }, "no preview")));
  const cost = make("span", { className: "cost" }, "counting");
  const button = make("button", { type: "button", className: "remove", "aria-label": `Remove ${alt}`, onclick: remove }, "×");
  const node = make("figure", {}, preview, make("figcaption", {}, make("b", {}, alt), cost), button);
  return { node, show: (counted) => { cost.replaceChildren(...(counted ? seen(counted, item.clip) : ["not counted"])); } };
}

export function question(text, media) {
  const strip = make("div", { className: "strip" }, ...media.map((item) => item.figure.node));
  return make("article", { className: "question", "aria-label": "You" },
    ...(media.length ? [strip] : []), make("p", {}, text));
}

/* An answer that grows. It is read aloud when it has ended (aria-busy). */
export class Answer {
  #thoughts = make("p");
  #summary = make("summary", {}, "Thinking");
  #thinking = make("details", { hidden: true }, this.#summary, this.#thoughts);
  #words = make("div", { className: "words" });
  #note = make("p", { className: "note" });
  node = make("article", { className: "answer", "aria-label": "Model", "aria-busy": "true" },
    this.#thinking, this.#words, this.#note);

  update(thinking, text) {
    this.#thinking.hidden = !thinking;
    this.#thoughts.textContent = thinking;
    if (text) this.#summary.textContent = "Thought";
    this.#words.replaceChildren(...prose(text));
  }

  end(note) {
    this.node.setAttribute("aria-busy", "false");
    this.#note.textContent = note;
  }

  /* `found`: boxes with the medium they lie on. */
  show(found) {
    const pictures = new Map();
    for (const box of found) pictures.set(box.item, [...(pictures.get(box.item) ?? []), box]);
    for (const [item, boxes] of pictures) this.#note.before(boxed(item, boxes));
  }
}

const colour = (node, number) => node.style.setProperty("--hue", 150 + number * 137.5);

/* One box and its number, in the picture's own pixels. */
function shape({ box: [x0, y0, x1, y1], sure }, number, [width, height]) {
  const radius = Math.max(width, height) / 32;
  const inside = (place, side) => Math.min(Math.max(place, radius), side - radius);
  const [x, y] = [inside(x0, width), inside(y0, height)];
  const node = draw("g", {},
    draw("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, class: sure ? "" : "unsure" }),
    draw("circle", { cx: x, cy: y, r: radius }),
    draw("text", { x, y, "font-size": radius * 1.4 }, `${number + 1}`));
  colour(node, number);
  return node;
}

function line({ box, label, frame, sure }, number) {
  const sides = box.map((side) => Math.round(side)).join(", ");
  const where = `${frame ? `, frame ${frame}` : ""}${sure ? "" : " (the answer does not say on which picture)"}`;
  const node = make("li", {}, make("b", {}, label || `box ${number + 1}`), ` ${sides}${where}`);
  colour(node, number);
  return node;
}

/* Boxes drawn on a picture and told in words; those on frames of a clip only in words. */
function boxed(item, boxes) {
  const { url, clip, name, seen: { size } } = item;
  const [width, height] = size;
  const title = `${boxes.length} box${boxes.length === 1 ? "" : "es"} on ${name}`;
  const drawing = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": title },
    ...boxes.map((box, number) => shape(box, number, size)));
  const picture = make("div", { className: "drawn" }, make("img", { src: url, alt: "", width, height }), drawing);
  return make("figure", { className: "boxed" }, ...(clip ? [] : [picture]),
    make("figcaption", {}, make("span", { className: clip ? "" : "unseen" }, title), make("ol", {}, ...boxes.map(line))));
}
