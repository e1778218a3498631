// Draws openapi.json as a page. Everything is put in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const MAX_DEPTH = 6;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function resolve(api, schema) {
  if (!schema || !schema.$ref) return schema || {};
  return schema.$ref.split("/").slice(1).reduce((node, key) => node[key], api);
}

// A schema as an example-like sketch: {"name": string, "count?": integer ≥ 1}.
function sketch(api, schema, indent = "", depth = 0) {
  const node = resolve(api, schema);
  if (depth > MAX_DEPTH) return "…";
  const choices = node.oneOf || node.anyOf;
  if (choices) return choices.map((choice) => sketch(api, choice, indent, depth + 1)).join(" | ");
  if (node.enum) return node.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in node) return JSON.stringify(node.const);
  if (node.type === "array") return "[" + sketch(api, node.items, indent, depth + 1) + ", …]";
  if (node.properties) {
    const inner = indent + "  ";
    const required = new Set(node.required || []);
    const lines = Object.entries(node.properties).map(([name, value]) =>
      `${inner}"${name}"${required.has(name) ? "" : "?"}: ${sketch(api, value, inner, depth + 1)}`);
    return lines.length ? `{\n${lines.join(",\n")}\n${indent}}` : "{}";
  }
  const type = Array.isArray(node.type) ? node.type.join(" | ") : node.type || "any";
  const notes = [];
  if (node.format) notes.push(node.format);
  if (node.minimum !== undefined) notes.push(`≥ ${node.minimum}`);
  if (node.maximum !== undefined) notes.push(`≤ ${node.maximum}`);
  if (node.pattern) notes.push(node.pattern);
  return notes.length ? `${type} (${notes.join(", ")})` : type;
}

function drawContent(api, content) {
  return Object.entries(content || {}).flatMap(([type, body]) =>
    [make("div", { class: "who" }, type), make("pre", {}, sketch(api, body.schema))]);
}

function drawParameters(api, operation) {
  if (!operation.parameters?.length) return [];
  const rows = operation.parameters.map((parameter) => make("tr", {},
    make("td", {}, make("code", {}, parameter.name), parameter.required ? "" : " ?"),
    make("td", {}, parameter.in),
    make("td", {}, make("code", {}, sketch(api, parameter.schema))),
    make("td", {}, parameter.description || "")));
  return [make("h4", {}, "Parameters"), make("table", {}, ...rows)];
}

function drawCall(api, path, method, operation) {
  const id = `${method}${path}`;
  const who = operation.security?.length ? `Token of: ${operation["x-roles"].join(", ")}` : "Anybody";
  const body = make("div", { class: "call" }, make("div", { class: "who" }, who));
  for (const paragraph of (operation.description || "").split("\n\n").filter(Boolean)) {
    body.append(make("p", {}, paragraph));
  }
  body.append(...drawParameters(api, operation));
  if (operation.requestBody) {
    body.append(make("h4", {}, "Body"), ...drawContent(api, operation.requestBody.content));
  }
  for (const [status, answer] of Object.entries(operation.responses)) {
    if (status === "default") continue;
    body.append(make("h4", {}, `Answer ${status}`), ...drawContent(api, answer.content));
  }
  const what = make("span", { class: "what" }, operation.summary || "");
  return make("details", { id },
    make("summary", {},
      make("span", { class: `method ${method}` }, method.toUpperCase()), make("code", {}, path), what),
    body);
}

function draw(api) {
  document.getElementById("version").textContent = api.info.version;
  const main = document.getElementById("calls");
  const index = document.getElementById("index");
  const groups = new Map();
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => name in operations)) {
      const group = operations[method].tags?.[0] || "other";
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push([path, method, operations[method]]);
    }
  }
  main.replaceChildren();
  for (const [group, calls] of groups) {
    main.append(make("h2", {}, group));
    index.append(make("li", { class: "group" }, group));
    for (const [path, method, operation] of calls) {
      main.append(drawCall(api, path, method, operation));
      index.append(make("li", {}, make("a", { href: `#${method}${path}`, title: path }, operation.summary || path)));
    }
  }
  openTarget();
}

function openTarget() {
  const target = document.getElementById(decodeURI(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

function filter(event) {
  const wanted = event.target.value.toLowerCase();
  for (const call of document.querySelectorAll("details")) {
    call.hidden = !call.querySelector("summary").textContent.toLowerCase().includes(wanted);
  }
}

addEventListener("hashchange", openTarget);
document.getElementById("filter").addEventListener("input", filter);
fetch("/openapi.json")
  .then((answer) => answer.json())
  .then(draw)
  .catch((error) => document.getElementById("calls").replaceChildren(`openapi.json cannot be read: ${error}`));
