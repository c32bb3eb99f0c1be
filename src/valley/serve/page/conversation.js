/* A conversation as data. A turn is { role, text, media }, a medium { name, type, clip, bytes, uri,
   url, figure, seen }: `uri` is what is sent, `url` what is shown, `seen` what the server counted. */

export const mediaOf = (turns) => turns.flatMap((turn) => turn.media);

function content({ text, media }) {
  if (!media.length) return text;
  const part = ({ clip, uri }) => (clip
    ? { type: "video_url", video_url: { url: uri } }
    : { type: "image_url", image_url: { url: uri } });
  return [...media.map(part), { type: "text", text }];
}

/* The body of a request. `thinking`: "true", "false" or "" for the model's own way. */
export function request(model, turns, { system, most, thinking }) {
  const messages = turns.map((turn) => ({ role: turn.role, content: content(turn) }));
  if (system) messages.unshift({ role: "system", content: system });
  return {
    model,
    messages,
    ...(most > 0 && { max_tokens: most }),
    ...(thinking && { valley: { thinking: thinking === "true" } }),
  };
}

/* Boxes with the medium they lie on. Pictures are counted with the frames of clips; a box of no
   picture has sides in shares, and is laid on every one. */
export function located(boxes, turns) {
  const places = mediaOf(turns).flatMap((item) => (item.clip
    ? Array.from({ length: item.seen.frames }, (_, frame) => ({ item, frame: frame + 1 }))
    : [{ item, frame: 0 }]));
  const everywhere = ({ box, label }) => places.filter(({ frame }) => !frame).map((place) => {
    const sides = box.map((side, number) => side * place.item.seen.size[number % 2]);
    return { ...place, box: sides, label, sure: false };
  });
  return boxes.flatMap((found) => (Number.isInteger(found.picture)
    ? [{ ...places[found.picture], box: found.box, label: found.label, sure: true }]
    : everywhere(found)));
}
