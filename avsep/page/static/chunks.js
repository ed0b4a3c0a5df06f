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

  // What is around `number` is fetched, the nearest first, and everything else is dropped.
  around(number) {
    const inside = (n) => n >= number - BEHIND && n <= number + AHEAD;
    for (const n of [...this.ready.keys()]) if (!inside(n)) this.ready.delete(n);
    for (const [n, { stop }] of [...this.loading]) if (!inside(n)) stop.abort();
    const wanted = [];
    for (let n = number; n <= number + AHEAD; n += 1) wanted.push(this.load(n));
    return wanted;
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
    for (const { stop } of this.loading.values()) stop.abort();
    this.ready.clear();
  }
}
