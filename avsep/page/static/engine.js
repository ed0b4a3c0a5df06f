// All tracks on one clock. What is heard is a matter of gains alone, so switching loses neither place nor sample.

import { Changed } from "./api.js";
import { AHEAD, Chunks } from "./chunks.js";

const START_SECONDS = 0.01; // from now to the first sample, time to schedule it
const FADE_SECONDS = 0.004; // time constant of a gain, without which switching clicks
const PUMP_MS = 150;

let context = null;
let playedBy = null; // the engine that is open

// The loudspeaker takes a while to wake up: it begins with the press, before the click that comes of it.
for (const press of ["pointerdown", "keydown"]) {
  addEventListener(press, () => playedBy?.context.resume(), { capture: true });
}

// One for all results of the same rate; a browser allows few.
function contextOf(rate) {
  if (context && context.sampleRate !== rate) {
    context.close();
    context = null;
  }
  if (!context) {
    try {
      context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    } catch {
      context = new AudioContext({ latencyHint: "interactive" }); // a rate that the browser does not play
    }
  }
  return context;
}

export class Engine extends EventTarget {
  // tracks: ids in the order of the server's pieces.
  constructor(result, tracks) {
    super();
    this.result = result;
    this.tracks = tracks;
    this.context = contextOf(result.sound.rate);
    playedBy = this;
    this.chunks = new Chunks(result, tracks);
    this.playing = false;
    this.waiting = false;
    this.place = 0;
    this.anchor = null;
    this.sources = new Set();
    this.next = 0;
    this.gains = tracks.map(() => new GainNode(this.context, { gain: 1 }));
    this.meters = tracks.map(() => new AnalyserNode(this.context, { fftSize: 1024 }));
    this.gains.forEach((gain, n) => gain.connect(this.meters[n]).connect(this.context.destination));
    this.pumping = setInterval(() => this.pump(), PUMP_MS);
    this.prepare();
  }

  // Where in the clip the clock is, in seconds.
  get position() {
    if (!this.anchor) return this.place;
    const passed = Math.max(0, this.context.currentTime - this.anchor.context);
    return Math.min(this.anchor.place + passed, this.result.seconds);
  }

  // What leaves the loudspeaker now: what the picture has to go with.
  get heard() {
    if (!this.anchor) return this.place;
    const late = this.context.outputLatency || this.context.baseLatency || 0;
    return Math.max(this.anchor.place, this.position - late);
  }

  prepare() {
    this.chunks.around(this.chunkAt(this.place)).catch((error) => this.fail(error));
  }

  chunkAt(seconds) {
    return Math.min(Math.floor(seconds / this.chunks.seconds), this.chunks.count - 1);
  }

  async play() {
    if (this.playing) return;
    if (this.place >= this.result.seconds - 0.05) this.place = 0;
    this.playing = true;
    this.change();
    const awake = this.context.resume();
    await Promise.all([awake, this.chunks.load(this.chunkAt(this.place)).catch((error) => this.fail(error))]);
    if (this.playing && !this.anchor) this.start();
  }

  pause() {
    if (!this.playing) return;
    this.place = this.position;
    this.playing = false;
    this.stop();
    this.change();
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  async seek(seconds) {
    this.place = Math.min(Math.max(0, seconds), this.result.seconds);
    this.stop();
    this.prepare();
    this.change();
    if (this.playing) {
      const at = this.place;
      await this.chunks.load(this.chunkAt(at)).catch((error) => this.fail(error));
      if (this.playing && !this.anchor && this.place === at) this.start();
    }
  }

  // Lays the clip's clock on the context's, from this.place on, and schedules what is there.
  start() {
    if (!this.chunks.get(this.chunkAt(this.place))) return;
    const { rate } = this.result.sound;
    const grid = (seconds) => Math.ceil(seconds * rate) / rate; // whole samples, so that pieces meet exactly
    this.anchor = { context: grid(this.context.currentTime + START_SECONDS), place: grid(this.place) };
    this.next = this.chunkAt(this.place);
    this.waiting = false;
    this.pump();
    this.change();
  }

  stop() {
    this.anchor = null;
    for (const source of this.sources) source.stop();
    this.sources.clear();
  }

  // Fetches what comes and schedules what is there.
  pump() {
    if (!this.playing) return;
    if (!this.anchor) {
      if (this.context.state === "running") this.start();
      return;
    }
    const position = this.position;
    if (position >= this.result.seconds) {
      this.place = this.result.seconds;
      this.playing = false;
      this.stop();
      this.change();
      return;
    }
    const now = this.chunkAt(position);
    this.chunks.around(now).catch((error) => this.fail(error));
    while (this.next <= now + AHEAD && this.chunks.get(this.next)) this.schedule(this.next++);
    if (this.next <= now && this.next < this.chunks.count) {
      this.place = Math.min(position, this.next * this.chunks.seconds); // the sound is late: the clock waits for it
      this.stop();
      this.waiting = true;
      this.change();
    }
  }

  schedule(number) {
    const begins = number * this.chunks.seconds - this.anchor.place;
    this.chunks.get(number).forEach((buffer, track) => {
      const source = new AudioBufferSourceNode(this.context, { buffer });
      source.connect(this.gains[track]);
      source.addEventListener("ended", () => {
        source.disconnect();
        this.sources.delete(source);
      });
      this.sources.add(source);
      source.start(this.anchor.context + Math.max(0, begins), Math.max(0, -begins));
    });
  }

  // gains: of each track, 0 to 1.
  mix(gains) {
    gains.forEach((value, n) => {
      const { gain } = this.gains[n];
      gain.cancelScheduledValues(0);
      if (this.anchor) gain.setTargetAtTime(value, this.context.currentTime, FADE_SECONDS);
      else gain.value = value;
    });
  }

  // Root mean square of what is heard of each track now.
  levels() {
    const samples = new Float32Array(this.meters[0]?.fftSize || 0);
    return this.meters.map((meter) => {
      if (!this.anchor) return 0;
      meter.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
    });
  }

  change() {
    this.dispatchEvent(new Event("change"));
  }

  fail(error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Changed)) this.pause(); // else it goes on with what there is then
    this.dispatchEvent(new CustomEvent("fault", { detail: error }));
  }

  close() {
    clearInterval(this.pumping);
    this.playing = false;
    this.stop();
    this.chunks.close();
    for (const node of [...this.gains, ...this.meters]) node.disconnect();
    if (playedBy !== this) return;
    playedBy = null;
    this.context.suspend().catch(() => {}); // closed before it slept
  }
}
