// The page: one or two sessions side by side, each a Panel. It loads nothing from other servers.

import { Panel, less, size } from "./panel.js";
import { fan } from "./fan.js";
import { drawMap } from "./pictures.js";
import { server } from "./server.js";

const $ = (id) => document.getElementById(id);

let model;
let panels = [];
let stopping = false;
let fans = [];

async function start() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    server.token = given;
    history.replaceState(null, "", location.pathname);
  }
  model = await server.ask("GET", "/v1/about");
  if (server.token) sessionStorage.setItem("token", server.token);
  $("entry").hidden = true;
  $("work").hidden = false;
  describe();
  panels = [new Panel(model, "A")];
  $("panels").replaceChildren(panels[0].root);
  await panels[0].open();
}

/** Set the words and controls that fit the model. */
function describe() {
  document.title = `${model.model} · nounroll`;
  $("model").textContent = model.model;
  const [tokens, width] = model.memory_shape;
  $("summary").textContent =
    `A recurrent network. Its whole memory is ${tokens} × ${width} numbers, ` +
    `${size(model.memory_bytes)}, after a million steps as after one.`;
  $("how").textContent = model.image
    ? "Press Draw and watch the network draw pixel by pixel. Draw a part and press Fork to see other continuations."
    : model.writes
      ? "Type a beginning and press Write: the network reads it, then writes on. Fork continues in two ways from the same memory."
      : "Type numbers and press Read: the network reads them one by one and shows its predictions.";
  $("prompt").placeholder = model.text ? "Type a beginning, or leave it empty" : "0 1 1 0";
  $("prompt-label").textContent = model.text ? "Text to read" : "Numbers to read, separated by spaces";
  $("prompt-field").hidden = Boolean(model.image);
  $("count-label").textContent = model.image ? "Pixels" : "Tokens";
  $("count").value = model.image ? model.image.height * model.image.width : withinTeacher(200);
  $("temperature").value = model.image ? 1 : 0.8;
  for (const name of ["count", "temperature"]) $(name).parentElement.hidden = !model.writes;
  $("write").textContent = model.image ? "Draw" : model.writes ? "Write" : "Read";
  $("read").hidden = Boolean(model.image) || !model.writes;
  $("forecast").hidden = !model.series;
  if (model.series) $("series-label").textContent = `Series: ${model.series.join(", ")}`;
  $("coloured").hidden = !model.text || !model.writes;
}

/** Limit a number of tokens, so that beginning and tokens fit into the length of the teacher. */
function withinTeacher(count) {
  return Math.min(count, Math.ceil(0.75 * (model.teacher_length ?? Infinity)));
}

/** Read the typed text first, then let the panels write. */
async function go(writes) {
  const text = $("prompt").value;
  if (!text && !(writes && model.writes)) {
    $("prompt").focus();
    return;
  }
  if (model.image && panels.some((panel) => !panel.missing)) await all((panel) => panel.open());
  await all(async (panel) => {
    if (text) await panel.feed(text);
    else if (!panel.read) await panel.feed(null);
    const count = model.image ? Math.min(Number($("count").value), panel.missing) : Number($("count").value);
    if (writes && model.writes) await panel.write(count, Number($("temperature").value), () => stopping);
  });
  $("prompt").value = "";
}

/** Forecast a pasted series, with a picture for each of its first columns. */
async function foresee() {
  const text = $("series").value.trim();
  if (!text) return $("series").focus();
  const answer = await server.ask("POST", "/v1/forecast", { text, steps: Number($("steps").value) });
  fans = answer.columns.slice(0, 3).map((_, c) => fan(answer, c));
  $("fans").replaceChildren(...fans.map((one) => one.figure));
  fans.forEach((one) => one.draw());
}

/** Run all panels at once; show an error after all have finished. */
async function all(work) {
  const ends = await Promise.allSettled(panels.map(work));
  const failed = ends.find((end) => end.status === "rejected");
  if (failed) throw failed.reason;
}

async function fork() {
  const other = panels[1] ?? new Panel(model, "B");
  await other.fork(panels[0]);
  panels = [panels[0], other];
  $("panels").append(other.root);
  other.draw();
}

async function reset() {
  await panels[1]?.close();
  panels[1]?.root.remove();
  panels = [panels[0]];
  await panels[0].open();
}

/** Show the common text of two sessions, and the distance of their memories. */
function compare() {
  const [one, other] = panels;
  $("comparison").hidden = !other?.shown || !one.shown;
  if ($("comparison").hidden) return;
  const parted = one.written.findIndex((element, i) => String(element) !== String(other.written[i]));
  const shared = parted < 0 ? Math.min(one.written.length, other.written.length) : parted;
  const apart = less(one.shown.memory, other.shown.memory);
  const distance = Math.hypot(...apart.flat()) / Math.sqrt(apart.flat().length);
  const what = model.image ? "pixels" : "tokens";
  const since = !one.written.length
    ? `Two copies of one memory. ${$("write").textContent} continues both, each with its own seed.`
    : shared
      ? `Both wrote the same ${shared} ${what}, then different ones.`
      : "Their first continuations differ.";
  $("apart").textContent = `${since} Their memories are ${distance.toFixed(3)} apart (root mean square):`;
  drawMap($("distance"), apart, Math.max(1, ...apart.flat().map(Math.abs)));
}

/** Run one action at a time, and show its error in one line. */
async function during(work) {
  const buttons = ["write", "read", "fork", "reset", "foresee"].map($);
  stopping = false;
  buttons.forEach((button) => (button.disabled = true));
  $("stop").disabled = false;
  $("error").hidden = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    fail(error);
  } finally {
    buttons.forEach((button) => (button.disabled = false));
    $("stop").disabled = true;
    document.body.removeAttribute("aria-busy");
    compare();
  }
}

function fail(error) {
  if (error.status === 401) {
    sessionStorage.removeItem("token");
    $("work").hidden = true;
    $("entry").hidden = false;
    $("token").focus();
    if (!server.token) return; // it was not asked yet
    server.token = null;
  }
  const forgotten = error.status === 404 && panels.length;
  const message = forgotten ? "the server no longer has this session; press New session" : error.message;
  $("error").textContent = message.replace(/\s+/g, " ");
  $("error").title = $("error").textContent;
  $("error").hidden = false;
}

$("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  server.token = $("token").value;
  during(start);
});
$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  during(() => go(true));
});
$("forecast").addEventListener("submit", (event) => {
  event.preventDefault();
  during(foresee);
});
$("read").addEventListener("click", () => during(() => go(false)));
$("fork").addEventListener("click", () => during(fork));
$("reset").addEventListener("click", () => during(reset));
$("stop").addEventListener("click", () => (stopping = true));
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("controls").requestSubmit();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  panels.forEach((panel) => panel.draw());
  fans.forEach((one) => one.draw());
  compare();
});
addEventListener("pagehide", () => {
  const headers = server.headers();
  for (const { id, path } of panels) if (id) fetch(path, { method: "DELETE", headers, keepalive: true });
});

during(start);
