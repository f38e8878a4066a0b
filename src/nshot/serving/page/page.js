// Everything that is shown is set as text, never as markup: labels and answers come from data.
"use strict";

const MOST_SHOWN = 10;
const at = (id) => document.getElementById(id);
let models = [];

function told(problem) {
  at("problem").textContent = problem;
  at("problem").hidden = !problem;
}

async function asked(path, body) {
  const headers = {};
  if (at("token").value) headers.Authorization = `Bearer ${at("token").value}`;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  if (answer.status === 401) at("access").hidden = false;
  const record = await answer.json();
  if (!answer.ok) throw new Error(record.error.message);
  return record;
}

async function tried(work) {
  told("");
  try {
    await work();
  } catch (error) {
    told(error.message);
  }
}

function made(kind, attributes, text) {
  const element = Object.assign(document.createElement(kind), attributes);
  if (text !== undefined) element.textContent = text;
  return element;
}

function field(name, control) {
  control.id = `field-${at("fields").childElementCount}`;
  control.dataset.name = name;
  at("fields").append(made("label", { htmlFor: control.id }, name), control);
}

function chosen() {
  return models.find((model) => model.id === at("model").value);
}

function aboutModel(model) {
  const facts = [model.task, model.method, model.backbone].filter(Boolean);
  const score = model.score;
  if (score) {
    const ends = score.interval && score.interval.map((end) => end.toFixed(3)).join(", ");
    facts.push(`${score.metric} ${score.score.toFixed(3)}${ends ? ` [${ends}]` : ""}`);
  }
  return facts.join(" · ");
}

function showModel() {
  const model = chosen();
  at("about").textContent = aboutModel(model);
  at("fields").replaceChildren();
  at("answer").hidden = true;
  if (model.columns) {
    for (const column of model.columns) {
      field(column.name, made("input", { type: column.kind === "number" ? "number" : "text", step: "any" }));
    }
  } else if (model.modality === "image") {
    field("Image", made("input", { type: "file", accept: "image/*" }));
  } else if (model.modality === "row") {
    field("Numbers, separated by commas", made("input", { type: "text" }));
  } else {
    field(model.task === "generate" ? "Message" : "Text", made("textarea", {}));
  }
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(file);
  });
}

async function input(model) {
  const controls = [...at("fields").querySelectorAll("input, textarea")];
  if (model.columns) {
    const cell = (control) => (control.type === "number" ? Number(control.value) : control.value);
    return Object.fromEntries(
      controls.map((control) => [control.dataset.name, control.value === "" ? null : cell(control)])
    );
  }
  if (model.modality === "image") {
    if (!controls[0].files.length) throw new Error("Choose an image.");
    return base64(controls[0].files[0]);
  }
  if (model.modality === "row") return [controls[0].value.split(",").map(Number)];
  return controls[0].value;
}

function line(name, value, share) {
  const row = made("tr", {});
  row.append(made("th", { scope: "row" }, name));
  row.append(made("td", { className: typeof value === "number" ? "number" : "" }, shown(value)));
  const bar = made("td", {});
  if (share !== undefined) bar.append(made("meter", { min: 0, max: 1, value: share }));
  row.append(bar);
  return row;
}

function shown(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value ?? "none");
}

function lines(record) {
  const { probabilities, spans, labels, ...rest } = record;
  const rows = Object.entries(rest).map(([name, value]) => line(name, value));
  if (labels) rows.push(line("labels", labels.join(", ")));
  for (const span of spans ?? []) rows.push(line(span.label, `${span.text} (${span.start} to ${span.end})`));
  for (const [label, share] of Object.entries(probabilities ?? {})) rows.push(line(label, share, share));
  return rows;
}

async function answer(model) {
  if (!model.method) {
    const messages = [{ role: "user", content: await input(model) }];
    const found = await asked("/v1/chat/completions", { model: model.id, messages });
    return { answer: found.choices[0].message.content };
  }
  const body = { model: model.id, inputs: await input(model), top: MOST_SHOWN };
  return (await asked("/v1/predict", body)).predictions[0];
}

async function open() {
  models = (await asked("/v1/models")).data;
  at("access").hidden = true;
  at("model").replaceChildren(...models.map((model) => made("option", { value: model.id }, model.id)));
  at("ask").hidden = false;
  showModel();
}

at("model").addEventListener("change", showModel);
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  tried(open);
});
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  tried(async () => {
    const rows = lines(await answer(chosen()));
    at("answer").tBodies[0].replaceChildren(...rows);
    at("answer").hidden = false;
  });
});
tried(open);
