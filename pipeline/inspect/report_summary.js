// Figures and distributions of each category. Clicking a bar narrows the list to its people.
"use strict";
const BINS = 24;
const USUAL = ["stored", "iou", "leak", "id", "id_min", "excess", "hug"];

// Figures are of everybody who was scored, also where only some of them are shown.
const scored = data.everyone ? data.everyone.map(([category, looks, broken, scores]) => ({ category, looks, broken, scores }))
  : people.map((row) => ({ category: row.category, looks: worthALook(row), broken: row.problems.length > 0, scores: row.scores }));

function drawSummary(narrow) {
  $("about").textContent = data.about;
  $("cards").innerHTML = data.categories.map((name, index) => {
    const mine = scored.filter((one) => one.category === index);
    if (!mine.length) return "";
    const looks = mine.filter((one) => one.looks).length, broken = mine.filter((one) => one.broken).length;
    const figureOf = (value, text, show, tint) => `<button type="button" data-category="${index}" data-show="${show}">` +
      `<b class="${value && tint ? tint : ""}">${value.toLocaleString("en")}</b><span>${text}</span></button>`;
    return `<div class="card"><h3>${escapeText(title(name))}</h3><div class="figures">` +
      figureOf(mine.length, mine.length === 1 ? "person" : "people", "all", "") +
      figureOf(looks, "worth a look", "look", "is-warn") + figureOf(broken, "can't be used", "broken", "is-bad") + "</div></div>";
  }).join("");
  $("cards").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) narrow({ category: button.dataset.category, show: button.dataset.show });
  });
  drawHistograms(narrow);
}

const title = (name) => name[0].toUpperCase() + name.slice(1).replace("_", " ");
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const valuesOf = (score, category) => scored.filter((one) => one.category === category)
  .map((one) => one.scores[scoreIndex[score.name]]).filter((v) => v !== null && v !== undefined);

function drawHistograms(narrow) {
  const present = data.categories.map((_, i) => i).filter((i) => scored.some((one) => one.category === i));
  let all = false;
  const draw = () => {
    const shown = data.scores.filter((score) => all || USUAL.includes(score.name));
    const grid = $("histograms");
    const columns = matchMedia("(max-width: 860px)").matches ? 1 : present.length;
    grid.style.gridTemplateColumns = columns === 1 && present.length > 1 ? "1fr" : `minmax(150px, 1.1fr) repeat(${columns}, minmax(0, 2fr))`;
    grid.innerHTML = `<div class="head">Score</div>${present.map((c) => `<div class="head">${escapeText(title(data.categories[c]))}</div>`).join("")}` +
      shown.map((score) => {
        const values = present.map((c) => valuesOf(score, c));
        if (!values.some((v) => v.length)) return "";
        const lows = values.flat().reduce((a, v) => Math.min(a, v), Infinity), tops = values.flat().reduce((a, v) => Math.max(a, v), -Infinity);
        const range = lows < tops ? [lows, tops] : score.percent && lows >= 0.5 ? [lows - 0.01, lows] : [lows, lows + (score.percent ? 0.01 : 1)];
        return `<div class="name">${escapeText(score.title)}<small>${escapeText(score.meaning)}</small></div>` +
          present.map((c, i) => plot(score, c, values[i], range)).join("");
      }).join("");
    $("more-scores").hidden = data.scores.every((score) => USUAL.includes(score.name));
    $("more-scores").textContent = all ? "Only the usual scores" : `All ${data.scores.length} scores`;
  };
  $("more-scores").addEventListener("click", () => { all = !all; draw(); });
  matchMedia("(max-width: 860px)").addEventListener("change", draw);
  const pick = (event) => {
    const bin = event.target.closest(".bin");
    if (bin) narrow({ category: bin.dataset.category, range: [bin.dataset.score, +bin.dataset.low, +bin.dataset.high] });
  };
  $("histograms").addEventListener("click", pick);
  $("histograms").addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(event); }
  });
  draw();
}

function plot(score, category, values, [low, high]) {
  if (!values.length) return '<div class="plot dim">–</div>';
  const counts = new Array(BINS).fill(0), step = (high - low) / BINS;
  values.forEach((v) => counts[Math.min(BINS - 1, Math.floor((v - low) / step))]++);
  const most = Math.max(...counts);
  const bins = counts.map((count, i) => {
    if (!count) return "";
    const from = low + i * step, to = i === BINS - 1 ? high : from + step;
    const tall = Math.max(2, 32 * Math.sqrt(count / most)); // square roots: a single outlier stays visible
    const worst = Math.max(tone(score, from, category), tone(score, to, category));
    const text = `${count} ${count === 1 ? "person" : "people"} from ${tell(score, from)} to ${tell(score, to)}`;
    return `<g class="bin" tabindex="0" role="button" aria-label="${text}" data-score="${score.name}" data-category="${category}" ` +
      `data-low="${from}" data-high="${to}"><title>${text}</title><rect class="hit" x="${i * 10}" y="0" width="10" height="34"/>` +
      `<rect class="t${worst}" x="${i * 10 + 1}" y="${34 - tall}" width="8" height="${tall}" rx="1"/></g>`;
  }).join("");
  const average = mean(values);
  return `<div class="plot"><small class="which" aria-hidden="true">${escapeText(title(data.categories[category]))}</small><svg viewBox="0 0 240 36" preserveAspectRatio="none" role="group" aria-label="${escapeText(score.title)}, ${escapeText(data.categories[category])}">${bins}` +
    `<line class="axis" x1="0" x2="240" y1="34.5" y2="34.5"/></svg>` +
    `<b class="${toneClass[tone(score, average, category)]}" title="mean">${tell(score, average)}</b>` +
    `<span class="ends" aria-hidden="true"><span>${tell(score, low)}</span><span>${tell(score, high)}</span></span></div>`;
}
