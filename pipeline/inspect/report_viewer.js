// One person in large, with the layers over each other.
"use strict";
function lookAt(i) {
  if (!shown.length) return;
  select(i, false);
  const row = shown[current], named = (height) => Object.fromEntries(panels(row, height).map((panel) => [panel[0], panel]));
  const all = named(stageHeight() * 0.8), small = named(stageHeight() * 0.46);
  const main = Object.keys(all).filter((name) => name.startsWith("Overlay") || name === "Difference");
  $("v-title").textContent = row.key;
  $("v-place").textContent = `${current + 1} of ${shown.length}`;
  $("v-prev").disabled = current === 0;
  $("v-next").disabled = current === shown.length - 1;
  $("v-stage").className = data.against === null ? "" : "compare";
  $("v-stage").innerHTML = main.map((name) => figure(all[name])).join("") +
    `<div class="small">${["Agnostic", "Garment", "Label map", "DensePose"].map((name) => figure(small[name])).join("")}</div>`;
  $("v-words").innerHTML = words(row) + beyond(row) || '<p class="dim">Nothing to remark.</p>';
  $("v-scores").tBodies[0].innerHTML = data.scores.map((score, s) => row.scores[s] === undefined || row.scores[s] === null ? "" :
    `<tr><td>${escapeText(score.title)}<small>${escapeText(score.meaning)}</small></td>` +
    `<td class="${toneClass[tone(score, row.scores[s], row.category)]}">${tell(score, row.scores[s])}</td></tr>`).join("");
  $("v-legend").innerHTML = legend(row);
  document.documentElement.style.setProperty("--vw", `${stageHeight() * aspect}px`);
  if (!$("viewer").open) { $("viewer").showModal(); $("v-title").focus(); }
}

// Scores beyond their limits, the worst first.
function beyond(row) {
  const level = (i) => tone(data.scores[i], row.scores[i], row.category);
  return data.scores.map((_, i) => i).filter((i) => level(i) > 0).sort((a, b) => level(b) - level(a))
    .map((i) => `<p class="words ${toneClass[level(i)]}">${escapeText(data.scores[i].title)} ${tell(data.scores[i], row.scores[i])}</p>`).join("");
}

function stageHeight() {
  const large = data.against === null ? 1.98 : 3.1, side = innerWidth > 860 ? 330 : 0;
  const byWidth = (innerWidth - side - 60) / (innerWidth > 860 ? large : 1) / aspect;
  return Math.max(260, Math.min(innerHeight - 120, byWidth, 1100));
}

$("v-prev").addEventListener("click", () => lookAt(current - 1));
$("v-next").addEventListener("click", () => lookAt(current + 1));
$("v-close").addEventListener("click", () => $("viewer").close());
$("viewer").addEventListener("close", () => select(current));
addEventListener("resize", () => { if ($("viewer").open) lookAt(current); });
start();
