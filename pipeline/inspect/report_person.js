// One person: words, panels, layers. Gives HTML strings; knows nothing of lists and filters.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const escapeText = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const aspect = data.picture[1] / data.picture[0];
const stripTiles = data.layers.length;
const scoreIndex = Object.fromEntries(data.scores.map((score, i) => [score.name, i]));
const layers = [
  { id: "photo", name: "Photo", on: true, opacity: 1 },
  { id: "labels", name: "Label map", on: false, opacity: 0.6 },
  { id: "dense", name: "DensePose", on: false, opacity: 0.6 },
  { id: "mask", name: "Mask", on: true, opacity: 0.5 },
  { id: "lines", name: "Outlines", on: true, opacity: 1 },
  { id: "problems", name: "Problems", on: true, opacity: 1 },
  { id: "pose", name: "Keypoints", on: false, opacity: 1 },
  { id: "names", name: "Names", on: false, opacity: 1 },
];

// Every row as an object with what filters and sorting ask for.
const people = data.people.map((row, order) => ({
  order, key: row.k, category: row.c, garment: row.g, split: row.s, trouble: row.t, scores: row.v, missing: row.m,
  notes: row.n, problems: row.e, photo: row.p, tiles: row.l, joints: row.j, labels: row.a, parts: row.d, lacks: row.x,
}));

const worthALook = (row) => row.problems.length > 0 || row.notes.length > 0 || row.trouble >= data.look;

function tell(score, value) {
  if (value === null || value === undefined) return "–";
  if (!score.percent) return Number.isInteger(value) ? String(value) : value.toFixed(3);
  const percent = 100 * value;
  if (percent > 0 && percent < 0.005) return "<0.01 %";
  let text = Math.abs(percent) >= 9.95 ? percent.toFixed(1) : percent.toFixed(2);
  if (percent < 100 && percent >= 99.95) text = "99.9";
  return `${text.replace(/\.0+$/, "")} %`;
}

// 0 = fine, 1 = worth a look, 2 = bad; the limits differ between categories.
function tone(score, value, category) {
  const limits = score.limits && score.limits[category];
  if (!limits || value === null || value === undefined) return 0;
  const concern = (value - limits[0]) / (limits[1] - limits[0]);
  return concern >= 1 ? 2 : concern >= 0.1 ? 1 : 0;
}
const toneClass = ["", "is-warn", "is-bad"];

function image(source, index, tiles) {
  const pitch = (data.picture[1] + data.gutter) / data.picture[1];
  const width = (tiles * pitch - data.gutter / data.picture[1]) * 100;
  return `<img alt="" decoding="async" src="${escapeText(source)}" style="width:${width}%;left:${-index * pitch * 100}%">`;
}
const photoTile = (row, name, extra = "") => row.lacks.includes(name) || !row.photo ? "" :
  `<div class="tile l-${name} ${extra}">${image(row.photo, name === "photo" ? 0 : 1, 2)}</div>`;
const layerTile = (row, name, extra = "") => row.tiles ?
  `<div class="tile l-${name.replace("2", "")} ${extra}">${image(row.tiles, data.layers.indexOf(name), stripTiles)}</div>`
  : "";

function skeleton(row) {
  const at = row.joints, parts = [];
  data.limbs.forEach(([a, b, colour]) => {
    if (at[a] && at[b]) {
      parts.push(`<line x1="${at[a][0]}" y1="${at[a][1]}" x2="${at[b][0]}" y2="${at[b][1]}" stroke="${colour}"/>`);
    }
  });
  at.forEach((point, i) => {
    if (point) parts.push(`<circle cx="${point[0]}" cy="${point[1]}" r="8"><title>${data.joints[i]}</title></circle>`);
  });
  return svg(`<g stroke-width="7" stroke-linecap="round">${parts.join("")}</g>`, "l-pose", 'fill="#fff"');
}

// Names of regions, the largest first; one that would cover another is left out.
function names(places, table, height, layer = "l-names") {
  const size = Math.min(60, 10500 / height), taken = [];
  return svg(places.map(([id, px, py]) => {
    const text = escapeText(table[id][0]), half = text.length * size * 0.29;
    const x = Math.max(half, Math.min(1000 * aspect - half, px)), y = Math.max(size, Math.min(1000 - size, py));
    if (taken.some(([tx, ty, th]) => Math.abs(tx - x) < th + half && Math.abs(ty - y) < size * 1.05)) return "";
    taken.push([x, y, half]);
    return `<text x="${x}" y="${y}" font-size="${size}" stroke-width="${size / 4}">${text}</text>`;
  }).join(""), layer);
}
const svg = (inside, name, attributes = "") =>
  `<svg class="${name}" viewBox="0 0 ${1000 * aspect} 1000" aria-hidden="true" ${attributes}>${inside}</svg>`;

const none = (text) => `<div class="none"><span>${text}</span></div>`;
const said = (row, name) => {
  const score = data.scores[scoreIndex[name]];
  return score && row.scores[scoreIndex[name]] !== undefined ? `, ${score.title} ${tell(score, row.scores[scoreIndex[name]])}` : "";
};

// The panels of a person: [name, alternative text, background, content, more words for the caption].
function panels(row, height) {
  const lacks = (name) => row.lacks.includes(name), second = data.against !== null;
  const who = escapeText(row.key);
  const mask = (suffix, live) => lacks("mask") ? none("no mask") : photoTile(row, "photo") +
    (live ? layerTile(row, "labels") + layerTile(row, "dense") : "") + layerTile(row, "mask" + suffix, live ? "" : "half") +
    layerTile(row, "lines" + suffix) + layerTile(row, "problems" + suffix) +
    (live ? skeleton(row) + names(row.labels, data.labels, height) : "");
  const list = [
    ["Photo", `Photo of ${who}`, "", lacks("photo") ? none("no photo") : photoTile(row, "photo")],
    ["Label map", `Label map of ${who}: ${row.labels.map((p) => data.labels[p[0]][0]).join(", ")}`, "dark",
      lacks("labels") ? none("no label map") : layerTile(row, "labels") + names(row.labels, data.labels, height, "")],
    ["DensePose", `DensePose parts of ${who}`, "dark", lacks("dense") ? none("no DensePose") : layerTile(row, "dense")],
    ["Keypoints", `Keypoints of ${who}: ${row.joints.filter(Boolean).length} of 18 joints`, "white",
      row.joints.some(Boolean) ? photoTile(row, "photo", "pale") + skeleton(row) : none("no keypoints")],
    [second ? `Overlay, ${data.style}` : "Overlay",
      `Mask of ${who} over the photo${said(row, "area")}${said(row, "leak")}`, "live", mask("", true)],
  ];
  if (second) {
    list.push([`Overlay, ${data.against}`, `Mask of style ${data.against} over the photo of ${who}`, "live", mask("2", true)]);
    list.push(["Difference", `Difference of the two masks of ${who}${said(row, "iou")}`, "white",
      lacks("mask") ? none("no mask") : photoTile(row, "photo", "grey") + layerTile(row, "difference", "most"), said(row, "iou")]);
  }
  list.push(["Agnostic", `${who} with the mask in black`, "", lacks("mask") || lacks("photo") ? none("no picture") :
    photoTile(row, "photo") + layerTile(row, "mask", "black")]);
  list.push(["Garment", `Garment ${escapeText(row.garment)}`, "white", lacks("garment") ? none("no garment") : photoTile(row, "garment")]);
  return list;
}

const figure = ([name, alternative, kind, inside, more = ""]) =>
  `<figure data-panel="${escapeText(name)}"><div class="stack ${kind}" role="img" aria-label="${alternative}">${inside}</div>` +
  `<figcaption>${escapeText(name + more)}</figcaption></figure>`;

// Scores of a row for its narrow column: those beyond their limits first, then the usual ones.
function topScores(row, count) {
  const usual = ["leak", "id", "id_min", "ring", "excess", "hug", "area", "iou", "stored"].map((n) => scoreIndex[n]);
  const known = data.scores.map((_, i) => i).filter((i) => row.scores[i] !== null && row.scores[i] !== undefined);
  const place = (i) => (usual.indexOf(i) + 100) % 100 || (usual.indexOf(i) < 0 ? 99 : 0);
  const level = (i) => tone(data.scores[i], row.scores[i], row.category);
  const shown = known.filter((i) => level(i) > 0 || usual.includes(i));
  return shown.sort((a, b) => level(b) - level(a) || place(a) - place(b)).slice(0, count);
}

function words(row) {
  const parts = row.problems.map((t) => `<p class="words is-bad">${escapeText(t)}</p>`);
  parts.push(...row.notes.map((t) => `<p class="words is-warn">${escapeText(t)}</p>`));
  if (row.missing.length) parts.push(`<p class="words is-warn">without ${escapeText(row.missing.join(", "))}</p>`);
  return parts.join("");
}

function facts(row, count) {
  const [category, id] = row.key.split("/");
  const scores = topScores(row, count).map((i) => `<dt title="${escapeText(data.scores[i].meaning)}">${escapeText(data.scores[i].title)}</dt>` +
    `<dd class="${toneClass[tone(data.scores[i], row.scores[i], row.category)]}">${tell(data.scores[i], row.scores[i])}</dd>`).join("");
  const other = row.garment !== id ? `, garment ${escapeText(row.garment)}` : "";
  return `<h3>${escapeText(id)}</h3><p class="where">${escapeText(category.replace("_", " "))}, ${escapeText(row.split)}${other}</p>` +
    `${words(row)}<dl class="mini">${scores}</dl>`;
}

function legend(row) {
  const entry = ([name, colour]) => `<span><i style="background:${colour}"></i>${escapeText(name)}</span>`;
  const present = (places, table) => places.map((p) => entry(table[p[0]])).join("");
  return data.marks.map(entry).join("") + (row.labels.length ? `<h3 style="width:100%">Label map</h3>${present(row.labels, data.labels)}` : "") +
    (row.parts.length ? `<h3 style="width:100%">DensePose</h3>${present(row.parts, data.parts)}` : "");
}
