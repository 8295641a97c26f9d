// Shows /api/openapi.json as a page: every address, what it takes, what it answers, and a command to try it.

const make = (tag, text, ...inside) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...inside);
  return element;
};

const kind = (schema = {}) => {
  const plain = schema.anyOf?.find((s) => s.type !== "null") ?? schema;
  if (plain.$ref) return kind(spec.components.schemas[plain.$ref.split("/").pop()]);
  if (plain.enum) return plain.enum.join(" | ");
  return plain.contentMediaType || plain.format === "binary" ? "file" : plain.type ?? "";
};

function parameters(operation) {
  const rows = (operation.parameters ?? []).map((p) => [p.name, p.in, kind(p.schema), p.required]);
  const body = operation.requestBody?.content;
  if (body) {
    const reference = Object.values(body)[0].schema;
    const schema = reference.$ref ? spec.components.schemas[reference.$ref.split("/").pop()] : reference;
    for (const [name, value] of Object.entries(schema.properties))
      rows.push([name, "form", kind(value), schema.required?.includes(name)]);
  }
  return rows;
}

function example(method, path, rows) {
  const fields = rows.filter(([, place]) => place === "form").map(([name, , type]) =>
    ({ category: " -F category=upper_body", style: " -F style=standard", person: " -F person=@me.jpg",
       garment_id: " -F garment_id=upper_body/048392" })[name] ?? "");
  const query = path.includes("gallery") ? "?category=upper_body" : "";
  const filled = path.replace("{kind}", "person").replace("{category}", "upper_body").replace("{identity}", "048392");
  return `curl ${location.origin}${filled}${query}${fields.join("")}`;
}

const spec = await (await fetch("/api/openapi.json")).json();
document.getElementById("about").textContent = `${spec.info.summary}. ${spec.info.description} Errors are {"error": {"kind", "message", "remedy"}}; 503 comes with Retry-After.`;
for (const [path, methods] of Object.entries(spec.paths)) for (const [method, operation] of Object.entries(methods)) {
  const rows = parameters(operation);
  const section = make("section", "", make("h2", "", make("em", method.toUpperCase()), path), make("p", operation.summary));
  if (operation.description) section.append(make("p", operation.description));
  if (rows.length) {
    const head = make("tr", "", ...["name", "in", "values", ""].map((t) => make("th", t)));
    section.append(make("table", "", head, ...rows.map((row) => make("tr", "", make("td", row[0]), make("td", row[1]),
      make("td", row[2]), make("td", row[3] ? "required" : "")))));
  }
  section.append(make("pre", example(method, path, rows)));
  document.getElementById("docs").append(section);
}
document.body.dataset.ready = "yes";
