// Outlines of the waves of all tracks, fetched piece by piece: what is looked at first, then the rest.

import { Changed, outline } from "./api.js";

const FOLD = 4; // bins that are one in the next coarser level
const RETRY_MS = 2000;

export class Outlines extends EventTarget {
  constructor(result, count) {
    super();
    this.result = result;
    this.count = count; // of tracks
    const { bins_per_second: rate, tile_seconds: seconds } = result.sound;
    this.rate = rate;
    this.bins = rate * seconds;
    this.total = Math.ceil(result.seconds / seconds);
    this.tiles = new Map(); // levels of each piece, the finest first
    this.failed = new Map(); // when a piece may be asked for again
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
    clearTimeout(this.retrying);
    let number;
    while (!this.closed && (number = this.missing()) !== null) {
      try {
        const tile = await outline(this.result, number);
        this.tiles.set(number, levels(tile, this.count, this.bins));
        this.failed.delete(number);
        for (const value of tile) if (value > this.loudest) this.loudest = value;
        this.dispatchEvent(new Event("change"));
      } catch (error) {
        // The lane stays flat there for now; the sound itself says what is wrong.
        this.failed.set(number, performance.now() + RETRY_MS);
        if (error instanceof Changed) this.dispatchEvent(new CustomEvent("fault", { detail: error }));
      }
    }
    this.fetching = false;
    if (this.failed.size && !this.closed) this.retrying = setTimeout(() => this.fetch(), RETRY_MS);
  }

  missing() {
    const now = performance.now();
    const lacks = (n) => !this.tiles.has(n) && !(this.failed.get(n) > now);
    const [from, to] = this.wanted;
    for (let n = from; n < to && n < this.total; n += 1) if (lacks(n)) return n;
    for (let n = 0; n < this.total; n += 1) if (lacks(n)) return n;
    return null;
  }

  // Lowest and highest value between two seconds, -127 to 127; null where nothing is there yet.
  between(track, start, end) {
    const found = [127, -127];
    const first = Math.floor(start * this.rate);
    const last = Math.max(first + 1, Math.ceil(end * this.rate));
    for (let number = Math.floor(first / this.bins); number * this.bins < last; number += 1) {
      const tile = this.tiles.get(number);
      const begin = number * this.bins;
      if (tile) this.inTile(tile, track, Math.max(first - begin, 0), Math.min(last - begin, this.bins), found);
    }
    return found[0] > found[1] ? null : found;
  }

  // Widens `found` by the bins from `bin` to `end` of a piece, in steps as large as fit.
  inTile(tile, track, bin, end, found) {
    while (bin < end) {
      let level = 0;
      let size = 1;
      while (
        level + 1 < tile.length &&
        bin % (size * FOLD) === 0 &&
        Math.min(bin + size * FOLD, this.bins) <= end
      ) {
        level += 1;
        size *= FOLD;
      }
      const { values, bins } = tile[level];
      const at = 2 * (track * bins + bin / size);
      if (values[at] < found[0]) found[0] = values[at];
      if (values[at + 1] > found[1]) found[1] = values[at + 1];
      bin += size;
    }
  }

  close() {
    this.closed = true;
    clearTimeout(this.retrying);
  }
}

// A piece (tracks, bins, 2) and ever coarser ones of it, so that a look at hours needs few values.
function levels(values, tracks, bins) {
  const made = [{ values, bins }];
  while (bins > 1) {
    const finer = made[made.length - 1];
    bins = Math.ceil(bins / FOLD);
    const coarser = new Int8Array(2 * tracks * bins);
    for (let n = 0; n < tracks * bins; n += 1) {
      const begin = (n % bins) * FOLD;
      const row = Math.floor(n / bins) * finer.bins;
      let low = 127;
      let high = -127;
      for (let bin = row + begin; bin < row + Math.min(begin + FOLD, finer.bins); bin += 1) {
        low = Math.min(low, finer.values[2 * bin]);
        high = Math.max(high, finer.values[2 * bin + 1]);
      }
      coarser[2 * n] = low;
      coarser[2 * n + 1] = high;
    }
    made.push({ values: coarser, bins });
  }
  return made;
}
