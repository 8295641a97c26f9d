// The list: filters, order, only the visible rows in the page, keys.
"use strict";
const filters = { range: null };
let shown = people, current = -1, rowHeight = 300, pictureHeight = 220;
const drawn = new Map(); // index in `shown` -> element
const GAP = 10, NARROW_FACTS = 142; // pixels; on a phone: id, list, four lines of scores

function fillSelects() {
  const fill = (id, entries) => { $(id).innerHTML = entries.map(([v, t]) => `<option value="${escapeText(v)}">${escapeText(t)}</option>`).join(""); };
  fill("f-category", [["", "all"], ...data.categories.map((name, i) => [i, title(name)]).filter(([i]) => scored.some((one) => one.category === i))]);
  fill("f-show", [["all", "everyone"], ["look", "worth a look"], ["notes", "with notes"], ["broken", "can't be used"]]);
  const sources = [...new Set(people.flatMap((row) => row.missing))].sort();
  fill("f-missing", [["", "any"], ["none", "nothing"], ...sources.map((s) => [s, s]), ["joints", "a joint"]]);
  fill("f-score", [["", "any"], ...data.scores.map((score) => [score.name, score.title])]);
  fill("f-sort", [["order", "as listed"], ["trouble", "trouble"], ["key", "id"], ...data.scores.map((score) => [score.name, score.title])]);
}

function apply(keep = false) {
  const before = keep && shown[current];
  const tokens = $("f-id").value.toLowerCase().split(/\s+/).filter(Boolean);
  const category = $("f-category").value, show = $("f-show").value, missing = $("f-missing").value;
  const chosen = data.scores[scoreIndex[$("f-score").value]];
  const limit = $("f-value").value === "" || !chosen ? null : +$("f-value").value / (chosen.percent ? 100 : 1);
  $("f-unit").textContent = chosen && chosen.percent ? "%" : "";
  const slack = 1e-9; // typed values are rounded: "≥ 5 %" includes 5 %
  shown = people.filter((row) => {
    if (category !== "" && row.category !== +category) return false;
    if (tokens.length && !tokens.some((t) => row.key.includes(t))) return false;
    if (show === "look" && !worthALook(row)) return false;
    if (show === "notes" && !row.notes.length) return false;
    if (show === "broken" && !row.problems.length) return false;
    if (missing === "none" && (row.missing.length || row.joints.includes(null))) return false;
    if (missing === "joints" && !row.joints.includes(null)) return false;
    if (missing && missing !== "none" && missing !== "joints" && !row.missing.includes(missing)) return false;
    if (limit !== null) {
      const value = row.scores[scoreIndex[chosen.name]];
      if (value === null || value === undefined || ($("f-op").value === "ge" ? value < limit - slack : value > limit + slack)) return false;
    }
    if (filters.range) {
      const value = row.scores[scoreIndex[filters.range[0]]];
      if (value === null || value === undefined || value < filters.range[1] - slack || value > filters.range[2] + slack) return false;
    }
    return true;
  });
  order();
  current = before ? shown.indexOf(before) : -1;
  const total = people.length.toLocaleString("en");
  $("count").textContent = shown.length === people.length ? `${total} ${people.length === 1 ? "person" : "people"}${data.everyone ? " shown" : ""}` : `${shown.length.toLocaleString("en")} of ${total} people`;
  $("nobody").hidden = shown.length > 0;
  $("chips").innerHTML = filters.range ? `<button type="button" aria-label="Remove this filter">${escapeText(rangeText())} ✕</button>` : "";
  redraw();
}

function rangeText() {
  const [name, low, high] = filters.range, score = data.scores[scoreIndex[name]];
  return `${score.title} from ${tell(score, low)} to ${tell(score, high)}`;
}

function order() {
  const by = $("f-sort").value, down = $("f-turn").dataset.down === "1" ? -1 : 1;
  const value = by === "order" ? (row) => row.order : by === "trouble" ? (row) => row.trouble
    : by === "key" ? (row) => row.key : (row) => row.scores[scoreIndex[by]];
  shown.sort((a, b) => {
    const x = value(a), y = value(b), noX = x === null || x === undefined, noY = y === null || y === undefined;
    if (noX || noY) return noX - noY || a.order - b.order; // unknown values last, either way round
    return (x < y ? -down : x > y ? down : 0) || a.order - b.order;
  });
}

function turn(down) {
  $("f-turn").dataset.down = down ? "1" : "0";
  $("f-turn").textContent = down ? "↓" : "↑";
  $("f-turn").title = down ? "Highest first; turn round" : "Lowest first; turn round";
}
// The order in which a person wants to see a score: its bad end first.
const wantsDown = (by) => by === "trouble" || (scoreIndex[by] !== undefined && data.scores[scoreIndex[by]].higher !== true);

function measure() {
  const narrow = matchMedia("(max-width: 860px)").matches, width = $("list").clientWidth, count = data.against === null ? 7 : 9;
  const room = (width - 216 - 14 - 26 - (count - 1) * 10) / count;
  const wide = narrow ? Math.min(170, (width - 40) / 2.35) /* the third one looks in: there are more */ : Math.max(112, Math.min(360, room));
  pictureHeight = wide / aspect;
  document.documentElement.style.setProperty("--pw", `${wide}px`);
  document.documentElement.style.setProperty("--facts", `${NARROW_FACTS}px`);
  document.documentElement.style.setProperty("--aspect", `${data.picture[1]} / ${data.picture[0]}`);
  rowHeight = Math.ceil(narrow ? pictureHeight + NARROW_FACTS + 8 + 22 + 34 : Math.max(190, pictureHeight + 22 + 26 + (room < 112 ? 16 : 0)));
}

function redraw() {
  drawn.forEach((element) => element.remove());
  drawn.clear();
  $("list").style.height = `${Math.max(0, shown.length * (rowHeight + GAP) - GAP)}px`;
  drawVisible();
}

function drawVisible() {
  const pitch = rowHeight + GAP, top = -$("list").getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / pitch) - 2), last = Math.min(shown.length - 1, Math.ceil((top + innerHeight) / pitch) + 2);
  drawn.forEach((element, i) => {
    if ((i < first || i > last) && !element.contains(document.activeElement)) { element.remove(); drawn.delete(i); }
  });
  for (let i = first; i <= last; i++) if (!drawn.has(i)) drawn.set(i, drawRow(i));
}

function drawRow(i) {
  const row = shown[i], element = document.createElement("article");
  element.className = "row";
  element.dataset.index = i;
  element.setAttribute("role", "listitem");
  element.setAttribute("aria-label", `${row.key}, ${i + 1} of ${shown.length}`);
  element.setAttribute("aria-setsize", shown.length);
  element.setAttribute("aria-posinset", i + 1);
  if (i === current) element.setAttribute("aria-current", "true");
  element.tabIndex = i === Math.max(0, current) ? 0 : -1;
  element.style.height = `${rowHeight}px`;
  element.style.transform = `translateY(${i * (rowHeight + GAP)}px)`;
  const count = Math.max(4, Math.floor((rowHeight - 90) / 19));
  element.innerHTML = `<div class="facts">${facts(row, Math.min(9, count))}</div><div class="panels">${panels(row, pictureHeight).map(figure).join("")}</div>`;
  $("list").append(element);
  return element;
}

function select(i, focus = true) {
  if (!shown.length) return;
  current = Math.max(0, Math.min(shown.length - 1, i));
  const top = $("list").getBoundingClientRect().top + current * (rowHeight + GAP);
  const bar = getComputedStyle($("bar")).position === "sticky" ? $("bar").offsetHeight : 0;
  if (top < bar + 8 || top + rowHeight > innerHeight) scrollTo({ top: scrollY + top - bar - 10, behavior: "instant" });
  drawVisible();
  drawn.forEach((element, index) => {
    element.toggleAttribute("aria-current", index === current);
    if (index === current) element.setAttribute("aria-current", "true");
    element.tabIndex = index === current ? 0 : -1;
  });
  if (focus) drawn.get(current).focus({ preventScroll: true });
}

function reset() {
  $("filters").reset();
  filters.range = null;
  turn(wantsDown($("f-sort").value));
  apply();
}

// A card or a bar of the summary was chosen.
function narrow({ category, show, range }) {
  $("f-category").value = category;
  $("f-show").value = show || "all";
  filters.range = range || null;
  apply();
  $("bar").scrollIntoView({ block: "start" });
}

function drawLayerControls() {
  const root = document.documentElement.style;
  const set = () => layers.forEach((layer) => {
    root.setProperty(`--o-${layer.id}`, layer.on ? layer.opacity : 0);
    document.querySelectorAll(`[data-layer="${layer.id}"]`).forEach((input) => {
      if (input.type === "checkbox") input.checked = layer.on; else input.value = layer.opacity;
    });
  });
  document.querySelectorAll("[data-layers]").forEach((box) => {
    box.innerHTML = layers.map((layer, i) => `<div class="layer"><label><input type="checkbox" data-layer="${layer.id}"> ${layer.name} <kbd>${i + 1}</kbd></label>` +
      `<input type="range" min="0" max="1" step="0.05" data-layer="${layer.id}" aria-label="${layer.name}: opacity"></div>`).join("");
    box.addEventListener("input", (event) => {
      const layer = layers.find((l) => l.id === event.target.dataset.layer);
      if (event.target.type === "checkbox") layer.on = event.target.checked;
      else { layer.opacity = +event.target.value; layer.on = true; }
      set();
    });
  });
  set();
  return (i) => { layers[i].on = !layers[i].on; set(); };
}

function listenToKeys(toggleLayer) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox], [type=range]), select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || typing || $("help").open) return;
    const key = event.key, large = $("viewer").open;
    const slider = event.target.matches("input[type=range]"), press = event.target.closest("button, summary, .bin");
    const does = (action) => { event.preventDefault(); action(); };
    if (key === "?") does(() => $("help").showModal());
    else if (key >= "1" && key <= String(layers.length)) does(() => toggleLayer(+key - 1));
    else if (slider) return;
    else if (large && (key === "ArrowRight" || key === "j")) does(() => lookAt(current + 1));
    else if (large && (key === "ArrowLeft" || key === "k")) does(() => lookAt(current - 1));
    else if (large) return;
    else if (key === "/") does(() => $("f-id").focus());
    else if (key === "ArrowDown" || key === "j") does(() => select(current + 1));
    else if (key === "ArrowUp" || key === "k") does(() => select(current - 1));
    else if (key === "Home") does(() => select(0));
    else if (key === "End") does(() => select(shown.length - 1));
    else if (key === "Enter" && !press && shown.length) does(() => lookAt(Math.max(0, current)));
  });
}

function start() {
  fillSelects();
  $("f-sort").value = data.sort;
  [...$("f-sort").options].forEach((option) => { option.defaultSelected = option.value === data.sort; });
  turn(wantsDown(data.sort));
  measure();
  $("distributions").open = !matchMedia("(max-width: 860px)").matches;
  drawSummary(narrow);
  const toggleLayer = drawLayerControls();
  listenToKeys(toggleLayer);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("input", (event) => {
    if (event.target.id === "f-sort") turn(wantsDown(event.target.value));
    apply(true);
  });
  $("f-turn").addEventListener("click", () => { turn($("f-turn").dataset.down !== "1"); apply(true); });
  $("f-reset").addEventListener("click", reset);
  $("reset-too").addEventListener("click", reset);
  $("chips").addEventListener("click", () => { filters.range = null; apply(true); });
  $("list").addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    select(+row.dataset.index, false);
    if (event.target.closest("figure")) lookAt(+row.dataset.index);
  });
  let waiting = false;
  addEventListener("scroll", () => {
    if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; drawVisible(); }); }
  }, { passive: true });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; measure(); redraw(); } else drawVisible(); });
  $("summary").addEventListener("toggle", () => drawVisible(), true);
  startTheme();
  $("help-button").addEventListener("click", () => $("help").showModal());
  apply();
}

function startTheme() {
  const set = (dark) => { document.documentElement.dataset.theme = dark ? "dark" : "light"; };
  const system = matchMedia("(prefers-color-scheme: dark)");
  set(system.matches);
  system.addEventListener("change", () => set(system.matches));
  $("theme").addEventListener("click", () => set(document.documentElement.dataset.theme !== "dark"));
}
