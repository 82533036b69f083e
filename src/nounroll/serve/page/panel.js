// One session: its text, its memory, and the distance from the teacher's memory.

import { drawCurve, drawMap, drawPixels } from "./pictures.js";
import { server } from "./server.js";

const ROUND = 16; // tokens asked for at a time; Stop waits for the end of one
const LINE_MS = 70; // between two lines of an image, so that they can be watched
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Panel {
  constructor(model, name) {
    this.model = model;
    this.root = document.getElementById("panel").content.firstElementChild.cloneNode(true);
    this.find("h2").textContent = `Session ${name}`;
    this.root.setAttribute("aria-label", `Session ${name}`);
    this.find(".image").hidden = !model.image;
    this.find(".image").style.aspectRatio = model.image ? `${model.image.width} / ${model.image.height}` : "";
    this.find(".text").hidden = Boolean(model.image);
    this.find(".seed").hidden = !model.writes;
    this.find(".bytes").textContent = size(model.memory_bytes);
    this.clear();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  get seed() {
    return Number(this.find(".seed input").value);
  }

  set seed(value) {
    this.find(".seed input").value = value;
  }

  get path() {
    return `/v1/sessions/${this.id}`;
  }

  /** Number of missing pixels of the image. */
  get missing() {
    return this.model.image.height * this.model.image.width - this.pixels.length;
  }

  clear() {
    Object.assign(this, { pixels: [], written: [], drifts: [], shown: null, read: 0, decoder: new TextDecoder() });
    this.find(".text").replaceChildren();
    this.find(".next").hidden = true;
    this.find(".speed").textContent = this.find(".step").textContent = "–";
    this.draw();
  }

  // -- the session --------------------------------------------------------------------------------

  async open() {
    await this.close();
    this.clear();
    this.id = (await server.ask("POST", "/v1/sessions")).id;
    this.show(await server.ask("GET", this.path));
  }

  async close() {
    const path = this.id && this.path;
    this.id = null;
    if (path) await server.fetch("DELETE", path).catch(() => {}); // it is gone already, then
  }

  /** Continue from the state of another panel. */
  async fork(other) {
    const { id } = await server.ask("POST", `${other.path}/fork`);
    await this.close();
    this.id = id;
    this.find(".text").replaceChildren(...[...other.find(".text").childNodes].map((node) => node.cloneNode(true)));
    this.pixels = [...other.pixels];
    this.drifts = [...other.drifts];
    this.seed = other.seed + 1;
    for (const panel of [this, other]) {
      panel.written = [];
      if (!panel.model.image) panel.add("|", "fork");
    }
    this.show(other.shown);
  }

  /** Let the session read text, or the model's own beginning. */
  async feed(text) {
    const before = this.read;
    this.decoder = new TextDecoder();
    const body = text === null ? { inputs: this.model.prompt } : { text };
    const answer = await server.ask("POST", `${this.path}/feed`, { ...body, watch: true });
    if (text !== null) this.addRead(text, answer.read - before, answer.surprise);
    this.show(answer);
    this.showNext(answer.logits);
  }

  /** Let the session write `count` tokens in rounds, an image line by line. `stopped` is called before each round. */
  async write(count, temperature, stopped) {
    this.find(".next").hidden = true;
    let tokens = 0;
    let seconds = 0;
    while (tokens < count && !stopped()) {
      const line = this.model.image?.width;
      const round = Math.min(line ? line - (this.pixels.length % line) : ROUND, count - tokens, this.model.most_tokens);
      const seed = this.seed * 2 ** 24 + this.read; // other draws for every round, the same for the same seed
      const body = { max_tokens: round, temperature, seed, stream: true, watch: true };
      const start = performance.now();
      const drawn = [];
      for await (const piece of server.events(`${this.path}/sample`, body)) {
        if (line) drawn.push(piece);
        else this.take([piece]);
      }
      seconds += (performance.now() - start) / 1000;
      tokens += round;
      if (drawn.length) this.take(drawn);
      this.find(".speed").textContent = Math.round(tokens / seconds).toLocaleString("en");
      if (line && !calm.matches) await new Promise((go) => setTimeout(go, LINE_MS));
    }
    if (this.frame) this.draw();
  }

  take(pieces) {
    for (const piece of pieces) {
      this.written.push(...piece.elements);
      if (this.model.image) this.pixels.push(...piece.elements);
      if (piece.elements.length && piece.drift !== null) this.drifts.push(piece.drift);
    }
    if (!this.model.image) this.add(pieces.map((piece) => this.textOf(piece)).join(""));
    const last = pieces.at(-1);
    // for a whole image, the memory that drew the last pixel; the next memory exceeds the length of the teacher
    const judged = this.model.image && !this.missing && pieces.findLast((piece) => piece.drift !== null);
    this.show(judged ? { ...judged, read: last.read } : last, !this.model.image);
  }

  /** A character of several bytes may begin in one round and end in the next. */
  textOf({ text, elements }) {
    return this.model.text ? this.decoder.decode(new Uint8Array(elements), { stream: true }) : text;
  }

  // -- the picture -------------------------------------------------------------------------------

  /** Show the state from the server, now or with the browser's next frame. */
  show(answer, soon = false) {
    if (!this.drifts.length && answer.drift !== null && answer.read) this.drifts.push(answer.drift);
    this.shown = answer;
    this.read = answer.read;
    if (!soon) this.draw();
    else this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.find(".read").textContent = this.read.toLocaleString("en");
    if (this.model.image) drawPixels(this.find(".image"), this.model.image, this.pixels);
    if (!this.shown) return;
    const { memory, teacher, drift, step_seconds: step } = this.shown;
    if (step) this.find(".step").textContent = `${(1000 * step).toPrecision(2)} ms`;
    const scale = Math.max(1, ...[memory, teacher ?? []].flat(2).map(Math.abs));
    drawMap(this.find(".memory"), memory, scale);
    for (const map of this.root.querySelectorAll(".taught")) map.hidden = !teacher;
    if (teacher) {
      drawMap(this.find(".label"), teacher, scale);
      drawMap(this.find(".difference"), less(memory, teacher), scale);
    }
    this.find(".drift").textContent = drift === null ? "–" : drift.toFixed(3);
    this.find(".course").hidden = this.drifts.length < 2;
    if (this.drifts.length > 1) {
      drawCurve(this.find(".curve"), this.drifts);
      this.find(".curve").setAttribute("aria-label", `Drift, ${this.drifts.at(-1).toFixed(3)} at the end`);
    }
    this.find(".absent").textContent = drift === null && this.read ? this.whyNoDrift() : "";
  }

  whyNoDrift() {
    const length = this.model.teacher_length;
    if (!length) return "No drift: this run keeps no teacher.";
    if (this.read > length) return `Drift ends here: the teacher was trained on ${length} steps, and this session is longer.`;
    return "No drift: the earlier inputs of this session are unknown.";
  }

  add(text, kind = "") {
    const span = document.createElement("span");
    span.textContent = text;
    span.className = kind;
    const log = this.find(".text");
    log.append(span);
    log.scrollTop = log.scrollHeight;
    return span;
  }

  /** Add typed text; the red of each character grows with its surprise up to 8 bits. */
  addRead(text, count, surprise) {
    if (!this.model.text) text = ` ${text.trim()} `;
    const parts = this.model.text ? [...text] : text.split(/(?<=\S\s+)/).filter((part) => part.trim());
    const bits = surprise ? [...Array(count - surprise.length).fill(0), ...surprise] : [];
    for (const part of parts) {
      const bytes = this.model.text ? new TextEncoder().encode(part).length : 1;
      const here = bits.splice(0, bytes).reduce((sum, one) => sum + one, 0);
      const span = this.add(part, "typed");
      span.style.backgroundColor = `rgba(var(--surprise), ${Math.min(here / 8, 1) * 0.55})`;
      if (surprise) span.title = `${here.toFixed(1)} bits`;
    }
  }

  /** Show the most likely next symbols. */
  showNext(logits) {
    const line = this.find(".next");
    line.hidden = !this.model.symbols || Boolean(this.model.image);
    if (line.hidden) return;
    const most = Math.max(...logits);
    const weights = logits.map((logit) => Math.exp(logit - most));
    const total = weights.reduce((sum, one) => sum + one, 0);
    const likely = weights.map((weight, symbol) => [weight / total, symbol]).sort((a, b) => b[0] - a[0]).slice(0, 5);
    line.replaceChildren(this.model.writes ? "Expects next" : "Answers");
    for (const [share, symbol] of likely) {
      const chip = document.createElement("span");
      const name = document.createElement("b");
      name.textContent = this.model.text ? byteName(symbol) : String(symbol);
      chip.append(name, ` ${(100 * share).toFixed(0)} %`);
      chip.style.setProperty("--share", `${100 * share}%`);
      line.append(chip);
    }
  }
}

/** The differences of two (K, d) arrays. */
export const less = (one, other) => one.map((row, k) => row.map((value, i) => value - other[k][i]));

export const size = (bytes) =>
  bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toLocaleString("en", { maximumFractionDigits: 1 })} KiB`;

function byteName(byte) {
  if (byte === 10) return "⏎";
  if (byte === 32) return "␣";
  return byte > 32 && byte < 127 ? String.fromCharCode(byte) : `0x${byte.toString(16)}`;
}
