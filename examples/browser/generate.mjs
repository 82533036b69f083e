// Text from an exported network: one step, (inputs, memory) -> (next_memory, logits), again and again.

/** Load what `nounroll export RUN --to onnx` wrote. `ort` is onnxruntime-web. */
export async function open(ort, folder) {
  const answer = await fetch(`${folder}/step.json`);
  if (!answer.ok) throw new Error(`there is no ${folder}/step.json; nounroll export --to onnx writes it`);
  const about = await answer.json();
  if (about.inputs.n !== 256) throw new Error("this network does not read bytes; export one of text");
  const session = await ort.InferenceSession.create(`${folder}/step.onnx`);
  return new Network(ort, session, about);
}

export class Network {
  constructor(ort, session, about) {
    this.ort = ort;
    this.session = session;
    const [tokens, width] = about.memory_shape;
    this.memory = new ort.Tensor("float32", Float32Array.from(about.initial_memory.flat()), [1, tokens, width]);
    this.logits = new Float32Array(about.targets.n);
  }

  /** Read one symbol: it changes the memory, which stays as large as it is. */
  async read(symbol) {
    const inputs = new this.ort.Tensor("int64", BigInt64Array.of(BigInt(symbol)), [1]);
    const { next_memory, logits } = await this.session.run({ inputs, memory: this.memory });
    this.memory = next_memory;
    this.logits = logits.data;
  }

  /** Read a prompt, then draw `count` symbols one after another, each of which is read back in. */
  async *write(prompt, count, temperature = 0.8, random = Math.random) {
    for (const byte of new TextEncoder().encode(prompt)) await this.read(byte);
    for (let i = 0; i < count; i++) {
      const symbol = draw(this.logits, temperature, random());
      yield symbol;
      await this.read(symbol);
    }
  }
}

/** One symbol by its probability; the most likely one at temperature 0. `chance` is uniform in [0, 1). */
export function draw(logits, temperature, chance) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  if (temperature === 0) return logits.indexOf(largest);
  const weights = Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  let left = chance * weights.reduce((a, b) => a + b);
  const drawn = weights.findIndex((weight) => (left -= weight) < 0);
  return drawn < 0 ? logits.indexOf(largest) : drawn; // a rounding error at the very end
}
