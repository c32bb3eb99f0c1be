"use strict";
// Filters, searches and pages through the samples, all of which are in the page already.
{
  const PAGE = 10;
  const form = document.getElementById("filter");
  const { benchmark, state, words, back, on, place } = form.elements;
  const samples = [...document.querySelectorAll(".sample")].map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
  }));
  let first = 0;

  const fits = ({ element, text }) =>
    (!benchmark.value || element.dataset.benchmark === benchmark.value) &&
    (!state.value || element.dataset.state === state.value) &&
    words.value.toLowerCase().split(/\s+/).every((word) => text.includes(word));

  function show(start) {
    const found = samples.filter(fits);
    first = Math.max(0, Math.min(start, Math.floor((found.length - 1) / PAGE) * PAGE));
    const shown = new Set(found.slice(first, first + PAGE));
    for (const sample of samples) sample.element.hidden = !shown.has(sample);
    const last = Math.min(first + PAGE, found.length);
    place.value = found.length ? `${first + 1}–${last} of ${found.length}` : "none";
    back.disabled = first === 0;
    on.disabled = last === found.length;
    document.getElementById("nothing").hidden = found.length > 0;
  }

  function turn(step) {
    const before = first;
    show(first + step * PAGE);
    if (first !== before) document.getElementById("samples").scrollIntoView();
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => show(0));
  back.addEventListener("click", () => turn(-1));
  on.addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.target instanceof Element && event.target.closest("input, select")) return;
    if (event.key === "ArrowLeft") turn(-1);
    if (event.key === "ArrowRight") turn(1);
  });
  // A link into closed details opens them.
  function open() {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  }
  addEventListener("hashchange", open);
  open();
  show(0);
}
