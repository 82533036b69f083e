// Stands in for onnxruntime-web, which tests have not: a session asks the test's server, where onnxruntime runs the step.

let server = "";

/** Outside of a browser there is no page whose server it could be. */
export function at(address) {
  server = address;
}

export class Tensor {
  constructor(type, data, dims) {
    this.type = type;
    this.data = data;
    this.dims = dims;
    this.size = data.length;
    if (this.size !== dims.reduce((a, b) => a * b)) throw new Error(`${this.size} numbers are not of shape ${dims}`);
  }
}

export const InferenceSession = {
  async create(path) {
    if (!(await fetch(path)).ok) throw new Error(`there is no ${path}`);
    return { run };
  },
};

async function run(feeds) {
  const sent = Object.entries(feeds).map(([name, { type, data, dims }]) => [name, { type, data: Array.from(data, Number), dims }]);
  const answer = await fetch(`${server}/run`, { method: "POST", body: JSON.stringify(Object.fromEntries(sent)) });
  const found = Object.entries(await answer.json());
  return Object.fromEntries(found.map(([name, { data, dims }]) => [name, new Tensor("float32", Float32Array.from(data), dims)]));
}
