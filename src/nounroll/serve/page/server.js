// Requests to the server. Every error is one line.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const server = {
  token: sessionStorage.getItem("token"),

  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  },

  async fetch(method, path, body) {
    const headers = { ...this.headers(), ...(body ? { "Content-Type": "application/json" } : {}) };
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) }).catch(() => {
      throw new Refused(0, "the server does not answer; is it running?");
    });
    if (response.ok) return response;
    const said = await response.json().catch(() => null);
    throw new Refused(response.status, said?.error?.message ?? `the server answered ${response.status}`);
  },

  async ask(method, path, body) {
    return (await this.fetch(method, path, body)).json();
  },

  /** Yield the events of a stream as they arrive. */
  async *events(path, body) {
    const reader = (await this.fetch("POST", path, body)).body.pipeThrough(new TextDecoderStream()).getReader();
    const ended = () => {
      throw new Refused(0, "the server ended the answer early");
    };
    for (let held = ""; ; ) {
      const { value, done } = await reader.read().catch(ended);
      if (done) ended();
      const parts = (held + value).split("\n\n");
      held = parts.pop();
      for (const part of parts) {
        const data = part.slice("data: ".length);
        if (data === "[DONE]") return;
        yield JSON.parse(data);
      }
    }
  },
};
