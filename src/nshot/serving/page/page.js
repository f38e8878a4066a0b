// Everything that is shown is set as text, never as markup: labels and answers come from data.
"use strict";

const MOST_PROBABILITIES = 10;
const MOST_LABELS = 8;
const DIGITS = 4;
const at = (id) => document.getElementById(id);
let models = [];
let turns = []; // the conversation so far, as the protocol writes it
let stopper = null; // breaks off what is being asked

// ------------------------------------------------------------------------------------------ asking the server

async function response(path, body) {
  const headers = {};
  if (at("token").value) headers.Authorization = `Bearer ${at("token").value}`;
  if (body) headers["Content-Type"] = "application/json";
  const request = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal: stopper?.signal };
  let found;
  try {
    found = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached. Is it still running?");
  }
  if (found.ok) return found;
  if (found.status === 401) {
    const wasGiven = at("token").value !== "";
    showAccess();
    if (!wasGiven) throw new Error("");
    throw new Error("This is not the token of this server.");
  }
  const record = await found.json().catch(() => null);
  throw new Error(record?.error?.message ?? `The server answered with status ${found.status}.`);
}

async function record(path, body) {
  return (await response(path, body)).json();
}

async function* events(path, body) {
  const reader = (await response(path, body)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The answer broke off.");
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const found = JSON.parse(data);
      if (found.error) throw new Error(found.error.message);
      yield found;
    }
  }
}

// Does what a button asks for: one thing at a time, and what goes wrong is shown in words.
async function tried(work) {
  told("");
  stopper = new AbortController();
  at("go").disabled = at("model").disabled = true;
  try {
    await work();
  } catch (error) {
    if (error.name !== "AbortError") told(error.message);
  }
  stopper = null;
  at("go").disabled = at("model").disabled = false;
}

function told(problem) {
  at("problem").textContent = problem;
  at("problem").hidden = !problem;
}

// ------------------------------------------------------------------------------------------ which model, and what of

function made(kind, attributes, ...inside) {
  const element = Object.assign(document.createElement(kind), attributes);
  element.append(...inside);
  return element;
}

function chosen() {
  return models.find((model) => model.id === at("model").value);
}

function writes(model) {
  return model.method === undefined;
}

const ANSWERS = {
  classify: "a label",
  tag: "any number of labels",
  extract: "marks in the text",
  regress: "a number",
  detect: "how unusual an input is, higher for more",
  cluster: "a group",
  compress: "how many bits an input takes",
  generate: "a text",
};

function aboutModel(model) {
  const facts = [`Answers ${ANSWERS[model.task] ?? model.task}`];
  if (model.labels?.length) {
    const shown = model.labels.slice(0, MOST_LABELS).join(", ");
    const more = model.labels.length - MOST_LABELS;
    facts[0] += `: ${shown}${more > 0 ? `, and ${more} more` : ""}`;
  }
  if (model.method) facts.push(model.backbone ? `${model.method} on ${model.backbone}` : model.method);
  if (model.score) {
    const ends = model.score.interval?.map((end) => end.toFixed(3)).join(", ");
    facts.push(`${model.score.metric} ${model.score.score.toFixed(3)}${ends ? ` [${ends}]` : ""}`);
  }
  return facts.join(" · ");
}

function field(name, control) {
  control.id = `field-${at("fields").querySelectorAll("label").length}`;
  control.dataset.name = name;
  return made("div", {}, made("label", { htmlFor: control.id }, name), control);
}

function cell(column) {
  const isNumber = column.kind === "number";
  return made("input", { type: isNumber ? "number" : "text", step: "any", autocomplete: "off" });
}

function showModel() {
  const model = chosen();
  const typed = at("fields").querySelector("textarea")?.value ?? "";
  const isText = !model.columns && !["image", "row"].includes(model.modality);
  at("about").textContent = aboutModel(model);
  at("fields").className = model.columns ? "cells" : "";
  at("fields").replaceChildren();
  at("unknown").hidden = true;
  if (model.columns) {
    for (const column of model.columns) at("fields").append(field(column.name, cell(column)));
    at("unknown").hidden = false;
  } else if (model.modality === "image") {
    at("fields").append(field("Image", made("input", { type: "file", accept: "image/*" })));
  } else if (model.modality === "row") {
    at("fields").append(field("Numbers, separated by commas", made("input", { type: "text", autocomplete: "off" })));
  } else {
    at("fields").append(field(writes(model) ? "Message" : "Text", made("textarea", { value: typed })));
  }
  at("keys").hidden = !isText;
  told("");
  at("answer").replaceChildren();
  forget();
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(file);
  });
}

function numbers(text) {
  return text.split(",").map((part) => {
    if (part.trim() === "" || Number.isNaN(Number(part))) throw new Error(`'${part.trim()}' is no number.`);
    return Number(part);
  });
}

function cellValue(control) {
  if (control.validity.badInput) throw new Error(`'${control.dataset.name}' is no number.`);
  if (control.value === "") return null;
  return control.type === "number" ? Number(control.value) : control.value;
}

async function input(model) {
  const controls = [...at("fields").querySelectorAll("input, textarea")];
  if (model.columns) return Object.fromEntries(controls.map((each) => [each.dataset.name, cellValue(each)]));
  const [control] = controls;
  if (model.modality === "image") {
    if (!control.files.length) throw new Error("Choose an image.");
    return base64(control.files[0]);
  }
  if (model.modality === "row") return [numbers(control.value)];
  return control.value;
}

// ------------------------------------------------------------------------------------------ predictions

function shown(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(DIGITS)));
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value ?? "none");
}

function share(probability) {
  return probability > 0 && probability < 0.001 ? "< 0.001" : probability.toFixed(3);
}

function table(rows) {
  return made("table", {}, made("tbody", {}, ...rows));
}

function bar(label, probability) {
  const drawn = made("div", { className: "bar" });
  drawn.style.width = `${100 * probability}%`;
  return made(
    "tr",
    {},
    made("th", { scope: "row" }, label),
    made("td", {}, drawn),
    made("td", { className: "number" }, share(probability))
  );
}

function line(name, value) {
  return made("tr", {}, made("th", { scope: "row" }, name), made("td", {}, shown(value)));
}

// Places are counted in characters of Unicode, as the server does, and not in halves of them.
function marked(text, spans) {
  const characters = [...text];
  const parts = made("p", { className: "text" });
  let end = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    if (span.start < end) continue; // it lies within another one; the table has it
    parts.append(characters.slice(end, span.start).join(""));
    const inside = characters.slice(span.start, span.end).join("");
    parts.append(made("mark", {}, inside, made("small", {}, span.label)));
    end = span.end;
  }
  parts.append(characters.slice(end).join(""));
  return parts;
}

function found(prediction, asked) {
  const { label, labels, probability, probabilities, spans, text, ...rest } = prediction;
  const parts = [];
  if (label !== undefined) parts.push(made("p", { className: "first" }, label));
  if (labels) parts.push(made("p", { className: "first" }, labels.length ? labels.join(", ") : "No label"));
  if (text !== undefined) parts.push(made("p", { className: "text" }, text));
  if (spans) {
    const rows = spans.map((span) => line(span.label, `${span.text} (${span.start} to ${span.end})`));
    parts.push(spans.length ? marked(asked, spans) : made("p", { className: "first" }, "Nothing found"), table(rows));
  }
  const bars = probabilities ?? (probability === undefined ? {} : { [label]: probability });
  parts.push(table(Object.entries(bars).map(([name, value]) => bar(name, value))));
  parts.push(table(Object.entries(rest).map(([name, value]) => line(name, value))));
  return parts.filter((part) => part.tagName !== "TABLE" || part.rows.length);
}

async function predict(model) {
  at("answer").replaceChildren();
  const inputs = await input(model);
  const body = { model: model.id, inputs, top: MOST_PROBABILITIES };
  const [prediction] = (await record("/v1/predict", body)).predictions;
  at("answer").replaceChildren(...found(prediction, inputs));
}

// ------------------------------------------------------------------------------------------ conversations

function turn(role, text) {
  const element = made("div", { className: `turn ${role}` }, text);
  at("talk").hidden = false;
  at("talk").append(element);
  return element;
}

function forget() {
  turns = [];
  at("talk").replaceChildren();
  at("talk").hidden = true;
  at("forget").hidden = true;
}

async function chat(model) {
  const control = at("fields").querySelector("textarea");
  const asked = { role: "user", content: control.value };
  const shownQuestion = turn("user", asked.content);
  const shownAnswer = turn("assistant", "");
  control.value = "";
  let text = "";
  let problem = null;
  at("stop").hidden = false;
  at("forget").hidden = true;
  try {
    const body = { model: model.id, messages: [...turns, asked], stream: true };
    for await (const event of events("/v1/chat/completions", body)) {
      const [choice] = event.choices;
      text += choice?.delta.content ?? "";
      shownAnswer.textContent = text;
      if (choice?.finish_reason === "length") {
        shownAnswer.append(made("span", { className: "hint" }, "Cut off: the answer reached its longest length."));
      }
    }
  } catch (error) {
    problem = error;
  }
  at("stop").hidden = true;
  if (text) {
    turns.push(asked, { role: "assistant", content: text });
  } else if (problem) {
    shownQuestion.remove();
    shownAnswer.remove();
    control.value ||= asked.content;
  } else {
    shownAnswer.append(made("span", { className: "hint" }, "The model wrote nothing."));
  }
  at("talk").hidden = !at("talk").childElementCount;
  at("forget").hidden = at("talk").hidden;
  control.focus();
  if (problem) throw problem;
}

// ------------------------------------------------------------------------------------------ the page itself

function showAccess() {
  at("access").hidden = false;
  at("ask").hidden = true;
  at("token").select();
  at("token").focus();
}

async function open() {
  models = (await record("/v1/models")).data;
  at("access").hidden = true;
  at("model").replaceChildren(...models.map((model) => made("option", { value: model.id }, model.id)));
  at("ask").hidden = false;
  at("description").hidden = at("token").value !== ""; // a link carries no token
  showModel();
}

at("model").addEventListener("change", showModel);
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  tried(open);
});
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const model = chosen();
  if (!stopper) tried(() => (writes(model) ? chat(model) : predict(model)));
});
at("ask").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});
at("stop").addEventListener("click", () => stopper?.abort());
at("forget").addEventListener("click", forget);
tried(open);
