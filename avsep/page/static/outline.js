// Outlines of the waves of all tracks, fetched piece by piece: what is looked at first, then the rest.

import { outline } from "./api.js";

export class Outlines extends EventTarget {
  constructor(result, count) {
    super();
    this.result = result;
    this.count = count; // of tracks
    const { bins_per_second: rate, tile_seconds: seconds } = result.sound;
    this.rate = rate;
    this.bins = rate * seconds;
    this.total = Math.ceil(result.seconds / seconds);
    this.tiles = new Map();
    this.loudest = 12;
    this.closed = false;
    this.wanted = [0, 0];
  }

  // Tells which seconds are looked at.
  look(start, end) {
    const { tile_seconds: seconds } = this.result.sound;
    this.wanted = [Math.floor(start / seconds), Math.ceil(end / seconds)];
    this.fetch();
  }

  async fetch() {
    if (this.fetching) return;
    this.fetching = true;
    let number;
    while (!this.closed && (number = this.missing()) !== null) {
      this.tiles.set(number, null);
      try {
        const tile = await outline(this.result, number);
        this.tiles.set(number, tile);
        for (const value of tile) if (value > this.loudest) this.loudest = value;
        this.dispatchEvent(new Event("change"));
      } catch {
        // The lane stays flat there; the sound itself says what is wrong.
      }
    }
    this.fetching = false;
  }

  missing() {
    const [from, to] = this.wanted;
    for (let n = from; n < to && n < this.total; n += 1) if (!this.tiles.has(n)) return n;
    for (let n = 0; n < this.total; n += 1) if (!this.tiles.has(n)) return n;
    return null;
  }

  // Lowest and highest value between two seconds, -127 to 127; null where nothing is there yet.
  between(track, start, end) {
    let low = 127;
    let high = -127;
    const last = Math.max(Math.floor(start * this.rate) + 1, Math.ceil(end * this.rate));
    for (let bin = Math.floor(start * this.rate); bin < last; bin += 1) {
      const tile = this.tiles.get(Math.floor(bin / this.bins));
      if (!tile) continue;
      const at = 2 * (track * this.bins + (bin % this.bins));
      if (tile[at] < low) low = tile[at];
      if (tile[at + 1] > high) high = tile[at + 1];
    }
    return low > high ? null : [low, high];
  }

  close() {
    this.closed = true;
  }
}
