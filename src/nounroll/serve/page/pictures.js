// Numbers as pictures, in the colours of the style sheet.

/** Colours by name, each as [red, green, blue]. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((two) => parseInt(two, 16));
  return Object.fromEntries(["low", "middle", "high", "accent", "line", "ink"].map((name) => [name, rgb(`--${name}`)]));
}

/** A colour of the style sheet by name, with an opacity. */
export const rgba = (name, opacity) => `rgba(${colours()[name]}, ${opacity})`;

/** A (K, d) array as a heat map: from `low` at -scale over `middle` at 0 to `high` at +scale. */
export function drawMap(canvas, rows, scale) {
  const { low, middle, high } = colours();
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  rows.flat().forEach((value, i) => {
    const share = Math.min(Math.abs(value) / scale, 1);
    const end = value < 0 ? low : high;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = middle[c] + share * (end[c] - middle[c]);
    image.data[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", range(rows));
}

function range(rows) {
  const values = rows.flat();
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(2));
  return `${rows.length} by ${rows[0].length} numbers from ${least} to ${most}`;
}

/** Numbers as a line, from 0 upwards; a fine line marks 1. */
export function drawCurve(canvas, values) {
  const { accent, line } = colours();
  const ratio = devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const context = canvas.getContext("2d");
  const most = Math.max(1, ...values) * 1.15;
  const y = (value) => canvas.height * (1 - value / most);
  const x = (i) => (i / (values.length - 1)) * canvas.width;
  context.setLineDash([4 * ratio, 4 * ratio]);
  context.strokeStyle = `rgb(${line})`;
  context.lineWidth = ratio;
  context.beginPath();
  context.moveTo(0, y(1));
  context.lineTo(canvas.width, y(1));
  context.stroke();
  context.setLineDash([]);
  context.beginPath();
  values.forEach((value, i) => context.lineTo(x(i), y(value)));
  context.strokeStyle = `rgb(${accent})`;
  context.lineWidth = 1.75 * ratio;
  context.stroke();
  context.lineTo(canvas.width, canvas.height);
  context.lineTo(0, canvas.height);
  context.fillStyle = `rgba(${accent}, 0.1)`;
  context.fill();
}

/** Pixels of an image so far; missing pixels are transparent. */
export function drawPixels(canvas, { height, width, levels }, pixels) {
  canvas.width = width;
  canvas.height = height;
  const image = canvas.getContext("2d").createImageData(width, height);
  pixels.slice(0, height * width).forEach((level, i) => {
    const grey = (255 * level) / (levels - 1);
    image.data.set([grey, grey, grey, 255], 4 * i);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}
