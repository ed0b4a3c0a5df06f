// A window of decoded sound around the place that is played: pieces of all tracks at once.

import { sound } from "./api.js";

const BEHIND = 2;
export const AHEAD = 5;

export class Chunks {
  constructor(result, tracks) {
    this.result = result;
    this.tracks = tracks;
    this.seconds = result.sound.chunk_seconds;
    this.count = Math.ceil(result.seconds / this.seconds);
    this.ready = new Map();
    this.loading = new Map();
    this.centre = 0;
    this.filling = false;
    this.closed = false;
  }

  // The buffers of each track, if they are there.
  get(number) {
    return this.ready.get(number);
  }

  load(number) {
    if (number < 0 || number >= this.count || this.ready.has(number)) return Promise.resolve();
    if (!this.loading.has(number)) {
      const stop = new AbortController();
      const promise = sound(this.result, number, stop.signal)
        .then((piece) => this.ready.set(number, this.decode(piece)))
        .finally(() => this.loading.delete(number));
      this.loading.set(number, { promise, stop });
    }
    return this.loading.get(number).promise;
  }

  // What is around `number` is fetched, one piece after the other so that the first one does not wait for the rest, and
  // everything else is dropped.
  async around(number) {
    this.centre = number;
    const inside = (n) => n >= number - BEHIND && n <= number + AHEAD;
    for (const n of [...this.ready.keys()]) if (!inside(n)) this.ready.delete(n);
    for (const [n, { stop }] of [...this.loading]) if (!inside(n)) stop.abort();
    if (this.filling) return;
    this.filling = true;
    try {
      for (let n = this.missing(); n !== null; n = this.missing()) await this.load(n).catch(unlessAborted);
    } finally {
      this.filling = false;
    }
  }

  missing() {
    const last = Math.min(this.centre + AHEAD, this.count - 1);
    for (let n = this.centre; n <= last && !this.closed; n += 1) if (!this.ready.has(n)) return n;
    return null;
  }

  decode({ samples, scale }) {
    const { rate, channels } = this.result.sound;
    const length = this.seconds * rate;
    return this.tracks.map((_, track) => {
      const buffer = new AudioBuffer({ length, numberOfChannels: channels, sampleRate: rate });
      for (let channel = 0; channel < channels; channel += 1) {
        const to = buffer.getChannelData(channel);
        const from = (track * channels + channel) * length;
        for (let n = 0; n < length; n += 1) to[n] = samples[from + n] * scale;
      }
      return buffer;
    });
  }

  close() {
    this.closed = true;
    for (const { stop } of this.loading.values()) stop.abort();
    this.ready.clear();
  }
}

function unlessAborted(error) {
  if (error.name !== "AbortError") throw error;
}
