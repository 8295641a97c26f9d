// The page: galleries, previews of the mask, the order, the slider. Talks to /api and to nothing else.

const byId = (id) => document.getElementById(id);
const KINDS = ["person", "garment"];
const PAGE = 24;
const STREAM = "application/x-ndjson";
const TRIES = 6;
const KEPT = 8; // last results, on this page alone
const BEHIND = ["warped", "weight"];

const state = { about: null, category: "upper_body", chosen: { person: null, garment: null }, layers: null, result: null,
                shown: { person: 0, garment: 0 }, asked: 0, asking: null, dressing: null, kept: [] };

// Choosing

const label = (choice) => !choice ? "" : choice.file ? choice.file.name : choice.id.split("/")[1];

function tile(kind, choice, source) {
  const box = document.createElement("label");
  box.className = "choice";
  const input = document.createElement("input");
  input.type = "radio"; input.name = kind; input.value = choice.id ?? "own";
  input.setAttribute("aria-label", `${kind} ${label(choice)}`);
  input.checked = same(choice, state.chosen[kind]);
  input.addEventListener("change", () => choose(kind, choice));
  const image = document.createElement("img");
  image.alt = ""; image.loading = "lazy"; image.src = source;
  const name = document.createElement("span");
  name.className = "name"; name.textContent = label(choice);
  box.append(image, input, name);
  return box;
}

const same = (a, b) => Boolean(a && b) && a.id === b.id && a.file === b.file;

function uploader(kind) {
  const possible = kind === "garment" || state.about.uploads.people;
  const box = document.createElement("label");
  box.className = possible ? "choice upload" : "choice upload off";
  const plus = document.createElement("b");
  plus.textContent = "+"; plus.setAttribute("aria-hidden", "true");
  const input = document.createElement("input");
  input.type = "file"; input.accept = state.about.uploads.types.join(","); input.id = `${kind}-file`;
  input.setAttribute("aria-label", `Upload a picture of a ${kind}`);
  input.addEventListener("change", () => { if (input.files[0]) take(kind, input.files[0]); input.value = ""; });
  input.addEventListener("click", (event) => {
    if (!possible) { event.preventDefault(); tell("Photos of your own need MediaPipe here: run scripts/setup_photo.sh, then start the page again.", true); }
  });
  box.append(plus, kind === "person" ? "Your photo" : "Your picture", input);
  return box;
}

async function fill(kind) {
  const gallery = byId(`${kind}-gallery`);
  const category = state.category;
  gallery.replaceChildren(uploader(kind));
  const own = state.chosen[kind];
  if (own?.file) gallery.append(tile(kind, own, own.url));
  state.shown[kind] = 0;
  await more(kind, category);
}

async function more(kind, category) {
  const gallery = byId(`${kind}-gallery`);
  const answer = await fetch(`/api/gallery/${kind}?category=${category}&offset=${state.shown[kind]}&limit=${PAGE}`);
  const { ids, total } = await answer.json();
  if (category !== state.category) return;
  gallery.querySelector(".more")?.remove();
  for (const id of ids) gallery.append(tile(kind, { id }, `/api/picture/${kind}/${id}`));
  state.shown[kind] += ids.length;
  byId(`${kind}-count`).textContent = total ? `${total.toLocaleString("en")}` : "";
  if (state.shown[kind] < total) {
    const button = document.createElement("button");
    button.className = "more"; button.type = "button"; button.textContent = "More";
    button.addEventListener("click", async () => {
      const at = gallery.children.length - 1;
      await more(kind, category);
      gallery.children[at]?.querySelector("input")?.focus();
    });
    gallery.append(button);
  }
}

async function take(kind, file) {
  const limits = state.about.uploads;
  if (kind === "person" && !limits.people) return tell("Photos of your own need MediaPipe here.", true);
  if (!limits.types.includes(file.type)) return tell("Only JPEG and PNG pictures can be used.", true);
  if (file.size > limits.bytes) return tell(`The picture is larger than ${Math.round(limits.bytes / 1048576)} MB.`, true);
  const url = URL.createObjectURL(file);
  if (state.chosen[kind]?.url) URL.revokeObjectURL(state.chosen[kind].url);
  const choice = { file, url };
  const gallery = byId(`${kind}-gallery`);
  gallery.querySelector("input[value=own]")?.closest("label").remove();
  const box = tile(kind, choice, url);
  gallery.children[0].after(box);
  box.querySelector("input").checked = true;
  box.querySelector("input").focus();
  choose(kind, choice);
}

function choose(kind, choice) {
  state.chosen[kind] = choice;
  drop();
  if (kind === "person") look(); else draw();
}

function drop() {  // the result is of another order
  if (!state.result && !state.dressing) return;
  state.result = null;
  state.dressing?.abort();
}

// Asking

function form(names) {
  const data = new FormData();
  data.set("category", state.category);
  data.set("style", document.querySelector("[name=style]:checked").value);
  for (const name of names) {
    const choice = state.chosen[name];
    if (choice.file) data.set(name, choice.file); else data.set(`${name}_id`, choice.id);
  }
  return data;
}

async function look() {
  state.layers = null;
  state.asking?.abort();
  if (!state.chosen.person) return draw();
  const control = state.asking = new AbortController();
  const own = Boolean(state.chosen.person.file);
  busy(own ? "Looking for joints…" : "Drawing the mask…", 300);
  draw();
  try {
    const answer = await fetch("/api/preview", { method: "POST", body: form(["person"]), signal: control.signal });
    const content = await answer.json();
    if (control.signal.aborted) return;
    idle();
    if (!answer.ok) { complain(content); if (own) refuse("person"); return draw(); }
    state.layers = content;
    tell("");
  } catch (error) {
    if (error.name === "AbortError") return;
    idle(); tell("The page cannot be reached. Is it still running?", true);
  }
  draw();
}

function refuse(kind) {  // an unusable photo is not kept as a choice
  byId(`${kind}-gallery`).querySelector("input[value=own]")?.closest("label").remove();
  state.chosen[kind] = null;
}

const wait = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("", "AbortError")); });
});

async function dress() {
  const control = state.dressing = new AbortController();
  byId("dress").disabled = true;
  tell("");
  try {
    for (let tried = 1; ; tried++) {
      busy("Sending…", 150);
      const answer = await fetch("/api/dress", { method: "POST", body: form(KINDS), signal: control.signal,
                                                 headers: { Accept: STREAM } });
      if (answer.status === 503 && tried < TRIES) {
        const seconds = Number(answer.headers.get("Retry-After") ?? 2) + Math.random();
        busy(`The fitting room is full. Trying again in ${Math.ceil(seconds)} s…`);
        await wait(1000 * seconds, control.signal);
        continue;
      }
      if (!answer.ok) { complain(await answer.json()); break; }
      await follow(answer.body);
      break;
    }
  } catch (error) {
    if (error.name !== "AbortError") tell("The page cannot be reached. Is it still running?", true);
  }
  if (state.dressing !== control) return;
  state.dressing = null;
  idle();
  draw();
}

async function follow(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf("\n")) >= 0; rest = rest.slice(end + 1)) heard(JSON.parse(rest.slice(0, end)));
  }
}

function heard(line) {
  if (line.state === "waiting") busy(line.ahead ? `${line.ahead} ${line.ahead === 1 ? "person" : "people"} before you…` : "Next…");
  if (line.state === "working") busy("Dressing…");
  if (line.state === "failed") complain(line);
  if (line.state === "done") {
    state.result = line.result;
    keep(line.result);
    document.querySelector("[name=view][value=result]").checked = true;
    slide(50);
    const { prepare, network, finish } = line.result.seconds;
    tell(`Done in ${(prepare + network + finish).toFixed(1)} s. Move the slider to compare.`);
    if (matchMedia("(max-width: 60rem)").matches) byId("picture").scrollIntoView({ block: "center" });
  }
}

// Results of before

function keep(result) {
  const { person, garment } = state.chosen;
  result.title = `person ${label(person)}, garment ${label(garment)}`;
  result.file = `dressed-${label(person)}-${label(garment)}.png`.replace(/\.(jpe?g|png)(?=-)/i, "");
  state.kept = [result, ...state.kept].slice(0, KEPT);
  const shelf = byId("shelf");
  shelf.hidden = state.kept.length < 2;
  shelf.replaceChildren(...state.kept.map((one) => {
    const button = document.createElement("button");
    button.type = "button"; button.title = one.title;
    button.setAttribute("aria-label", `Show again: ${one.title}`);
    const image = document.createElement("img");
    image.src = one.after; image.alt = "";
    button.append(image);
    button.addEventListener("click", () => {
      state.result = { ...one, past: true }; // the choice may be another by now
      document.querySelector("[name=view][value=result]").checked = true;
      tell(`Shown again: ${one.title}.`);
      draw();
    });
    return button;
  }));
}

// Showing

function tell(text, bad = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("bad", bad);
}

const complain = ({ error }) => tell(`${error.message} ${error.remedy ?? ""}`.trim(), true);

let timer = 0;
function busy(text, after = 0) {
  clearTimeout(timer);
  timer = setTimeout(() => { byId("working-text").textContent = text; byId("working").hidden = false; }, after);
}
function idle() { clearTimeout(timer); byId("working").hidden = true; }

function show(image, source, alt) {
  image.hidden = !source;
  if (source && image.src !== source) image.src = source;
  image.alt = alt;
}

function draw() {
  const { chosen, layers, result } = state;
  const view = document.querySelector("[name=view]:checked").value;
  const who = label(chosen.person);
  const compare = view === "result" && Boolean(result);
  const layer = result?.layers?.[view] ?? layers?.[view] ?? layers?.person;
  const titles = { result: "photo", keypoints: "keypoints", mask: "mask in red", agnostic: "photo without the hidden region",
                   warped: "the garment by its flows alone", weight: "how much comes from the garment" };
  show(byId("before"), compare ? result.before : layer, compare ? `Before: person ${who}` : layer ? `Person ${who}: ${titles[view]}` : "");
  show(byId("after"), compare ? result.after : "", compare ? `After: ${result.title}` : "");
  for (const id of ["slider", "handle", "tag-before", "tag-after"]) byId(id).hidden = !compare;
  byId("empty").hidden = Boolean(layer || compare);
  byId("empty").firstElementChild.textContent = chosen.person ? "" : "Choose a person and a garment, or upload your own.";
  byId("notes").textContent = (result?.notes ?? layers?.notes ?? []).map((n) => `${n[0].toUpperCase()}${n.slice(1)}.`).join(" ");
  for (const name of BEHIND) document.querySelector(`[name=view][value=${name}]`).disabled = !result?.layers?.[name];
  for (const button of byId("shelf").children) button.classList.toggle("on", button.title === result?.title);
  byId("dress").disabled = !(chosen.person && chosen.garment && layers) || Boolean(state.dressing || (result && !result.past));
  byId("download").hidden = !result;
  if (result) { byId("download").href = result.after; byId("download").download = result.file; }
  byId("chosen").textContent = KINDS.filter((k) => chosen[k]).map((k) => `${k} ${label(chosen[k])}`).join(" · ") || "Nothing chosen yet";
}

function slide(percent) {
  const slider = byId("slider");
  slider.value = percent;
  byId("picture").style.setProperty("--cut", `${slider.value}%`);
  slider.setAttribute("aria-valuetext", `${slider.value} percent before`);
}

// Start

function listen() {
  for (const input of document.querySelectorAll("[name=category]")) input.addEventListener("change", () => {
    state.category = input.value;
    const garment = state.chosen.garment;
    if (garment && !garment.file && !garment.id.startsWith(`${input.value}/`)) state.chosen.garment = null;
    drop(); KINDS.forEach(fill); look();
  });
  for (const input of document.querySelectorAll("[name=view]")) input.addEventListener("change", draw);
  for (const input of document.querySelectorAll("[name=style]")) input.addEventListener("change", () => {
    if (state.result && document.querySelector("[name=view]:checked").value === "result")
      document.querySelector("[name=view][value=mask]").checked = true;
    drop(); look();
  });
  byId("slider").addEventListener("input", (event) => slide(event.target.value));
  byId("dress").addEventListener("click", dress);
  for (const kind of KINDS) {
    const panel = byId(`${kind}-panel`);
    for (const name of ["dragenter", "dragover"]) panel.addEventListener(name, (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault(); panel.classList.add("over");
    });
    panel.addEventListener("dragleave", (event) => { if (!panel.contains(event.relatedTarget)) panel.classList.remove("over"); });
    panel.addEventListener("drop", (event) => {
      event.preventDefault(); panel.classList.remove("over");
      if (event.dataTransfer.files[0]) take(kind, event.dataTransfer.files[0]);
    });
  }
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
}

async function start() {
  listen();
  slide(50);
  // a page that is loaded again keeps its buttons: what they say is what counts
  state.category = document.querySelector("[name=category]:checked").value;
  try {
    state.about = await (await fetch("/api")).json();
  } catch { return tell("The page cannot be reached. Is it still running?", true); }
  byId("story").textContent = state.about.story ? `Weights: ${state.about.story}` : "";
  await Promise.all(KINDS.map(fill));
  draw();
  document.body.dataset.ready = "yes";
}

start();
