// Fan charts: a history, and the quantiles of its forecast.

import { rgba } from "./pictures.js";

const SHOWN = 4; // steps of history per forecast step

/** Create a figure for column `c` of a forecast: append it to the page, then call its `draw`. */
export function fan(answer, c) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  const canvas = document.createElement("canvas");
  caption.textContent = `${answer.columns[c]}: history, and bands that hold 50 % and 90 % of the sample paths`;
  canvas.className = "fan";
  canvas.setAttribute("role", "img");
  figure.append(caption, canvas);
  const ahead = answer.quantiles.map((rows) => rows.map((row) => row[c]));
  const history = answer.history.map((row) => row[c]).slice(-SHOWN * ahead[0].length);
  const label = ahead[2].map((value) => value.toPrecision(4)).join(", ");
  canvas.setAttribute("aria-label", `Median of ${answer.columns[c]}: ${label}`);
  return { figure, draw: () => draw(canvas, history, ahead) };
}

/** `ahead` holds the quantiles 0.05, 0.25, 0.5, 0.75 and 0.95. */
function draw(canvas, history, ahead) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const all = [...history, ...ahead.flat()];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const steps = history.length + ahead[0].length;
  const x = (t) => (width * (t + 0.5)) / steps;
  const y = (value) => height * (0.95 - (0.9 * (value - least)) / (most - least || 1));
  const start = history.length - 1;
  const from = (values) => [history[start], ...values];
  const line = (values, first, colour) => {
    context.beginPath();
    values.forEach((value, i) => context.lineTo(x(first + i), y(value)));
    context.strokeStyle = colour;
    context.lineWidth = 1.75 * ratio;
    context.stroke();
  };
  for (const [low, high] of [[0, 4], [1, 3]]) {
    context.beginPath();
    from(ahead[high]).forEach((value, i) => context.lineTo(x(start + i), y(value)));
    from(ahead[low]).reverse().forEach((value, i) => context.lineTo(x(steps - 1 - i), y(value)));
    context.fillStyle = rgba("accent", 0.2);
    context.fill();
  }
  line(history, 0, rgba("ink", 1));
  line(from(ahead[2]), start, rgba("accent", 1));
}
