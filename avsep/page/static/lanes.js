// A lane for each track: the wave, when somebody speaks, a bar below what is not to be trusted, and the place. They are
// drawn only when they change; the line of the place is an element of its own that moves over them.

import { time } from "./dom.js";

const GRAB = 4; // pixels from which a press is a drag

export class Lanes {
  // on: seek(seconds, track), called for a click in a lane, and choose(track, span) for a drag with Shift.
  constructor(view, outlines, on) {
    this.view = view;
    this.outlines = outlines;
    this.on = on;
    this.lanes = [];
    this.selection = null;
    this.ruler = null;
    this.drawing = 0;
    this.resize = new ResizeObserver(() => this.draw());
    this.stop = new AbortController();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    for (const one of [view, outlines, dark]) {
      one.addEventListener("change", () => this.draw(), { signal: this.stop.signal });
    }
  }

  // number: of the track in the outlines.
  add(place, track, number) {
    const canvas = document.createElement("canvas");
    const line = document.createElement("i");
    line.className = "place";
    canvas.setAttribute("aria-hidden", "true");
    place.replaceChildren(canvas, line);
    this.lanes.push({ place, canvas, line, track, number });
    this.resize.observe(place);
    this.listen(place, track);
  }

  // Lets all lanes go, for others in their place.
  clear() {
    for (const { place } of this.lanes) this.resize.unobserve(place);
    this.lanes = [];
  }

  addRuler(canvas) {
    this.ruler = canvas;
    this.resize.observe(canvas.parentElement);
    this.listen(canvas, null);
  }

  listen(place, track) {
    const { signal } = this.stop; // the ruler outlives these lanes
    const on = (event, act) => place.addEventListener(event, act, { signal, passive: false });
    const fingers = new Map();
    let dragged = false;
    let chosenFrom = null;
    const seconds = (x) => {
      const box = place.getBoundingClientRect();
      return this.view.start + ((x - box.left) / box.width) * this.view.length;
    };
    on("pointerdown", (event) => {
      if (event.button) return;
      fingers.set(event.pointerId, { x: event.clientX, first: event.clientX });
      dragged = fingers.size > 1;
      chosenFrom = event.shiftKey && track ? seconds(event.clientX) : null;
      place.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event) => {
      const finger = fingers.get(event.pointerId);
      if (!finger) return;
      if (Math.abs(event.clientX - finger.first) > GRAB) dragged = true;
      const before = finger.x;
      const width = place.clientWidth || 1;
      if (chosenFrom !== null) {
        const ends = [chosenFrom, seconds(event.clientX)].map((at) => Math.min(Math.max(0, at), this.view.seconds));
        if (dragged) this.on.choose(track, ends.sort((a, b) => a - b));
      } else if (fingers.size === 2) {
        const other = [...fingers].find(([id]) => id !== event.pointerId)[1].x;
        const [was, is] = [Math.abs(before - other), Math.abs(event.clientX - other)];
        if (was > 8 && is > 8) this.view.zoom(was / is, seconds(other));
      } else if (dragged) {
        this.view.scroll(((before - event.clientX) / width) * this.view.length);
      }
      finger.x = event.clientX;
    });
    const release = (event) => {
      const was = fingers.delete(event.pointerId);
      if (was && !dragged && event.type === "pointerup") this.on.seek(seconds(event.clientX), track);
    };
    on("pointerup", release);
    on("pointercancel", release);
    on("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) {
        this.view.zoom(Math.exp(event.deltaY * 0.01), seconds(event.clientX));
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
        const by = event.deltaX || event.deltaY;
        this.view.scroll((by / (place.clientWidth || 1)) * this.view.length);
      } else return;
      event.preventDefault();
    });
  }

  select(track, span) {
    this.selection = span ? { track, span } : null;
    this.draw();
  }

  follow(seconds) {
    const at = (seconds - this.view.start) / this.view.length;
    const shown = at >= 0 && at <= 1;
    for (const { line, place } of this.lanes) {
      line.style.opacity = shown ? "1" : "0";
      if (shown) line.style.transform = `translateX(${(at * place.clientWidth).toFixed(1)}px)`;
    }
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.outlines.look(this.view.start, this.view.end);
      for (const lane of this.lanes) this.drawLane(lane);
      if (this.ruler) this.drawRuler();
    });
  }

  prepare(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return { pen, width, height };
  }

  drawLane({ canvas, track, number, place }) {
    const { pen, width, height } = this.prepare(canvas);
    if (!width) return;
    const { view, outlines } = this;
    const style = getComputedStyle(place);
    const x = (seconds) => ((seconds - view.start) / view.length) * width;
    pen.fillStyle = style.getPropertyValue("--span");
    for (const [start, end] of track.speaking || []) {
      if (end < view.start || start > view.end) continue;
      pen.beginPath();
      pen.roundRect(x(start), 2, Math.max(2, x(end) - x(start)), height - 4, 4);
      pen.fill();
    }
    pen.fillStyle = style.getPropertyValue("--wave");
    const middle = height / 2;
    const scale = (middle - 4) / outlines.loudest;
    const step = view.length / width;
    for (let column = 0; column < width; column += 1) {
      const found = outlines.between(number, view.start + column * step, view.start + (column + 1) * step);
      if (!found) continue;
      const [low, high] = found;
      const top = middle - Math.min(high * scale, middle - 2);
      const bottom = middle - Math.max(low * scale, 2 - middle);
      pen.fillRect(column, top - 0.5, 1, Math.max(1, bottom - top));
    }
    pen.fillStyle = style.getPropertyValue("--doubt");
    for (const [start, end] of track.doubtful || []) {
      if (end < view.start || start > view.end) continue;
      pen.fillRect(x(start), height - 5, Math.max(2, x(end) - x(start)), 4);
    }
    if (this.selection?.track === track.id) {
      const [start, end] = this.selection.span;
      pen.strokeStyle = style.getPropertyValue("--edge");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.roundRect(x(start) + 1, 2, Math.max(4, x(end) - x(start) - 2), height - 4, 4);
      pen.stroke();
    }
  }

  drawRuler() {
    const { pen, width, height } = this.prepare(this.ruler);
    if (!width) return;
    const { view } = this;
    const style = getComputedStyle(this.ruler);
    pen.font = `11px ${style.fontFamily}`;
    pen.fillStyle = style.color;
    pen.textBaseline = "middle";
    const steps = [0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
    const step = steps.find((one) => (one / view.length) * width >= 64) || 7200;
    for (let at = Math.ceil(view.start / step) * step; at <= view.end; at += step) {
      const x = ((at - view.start) / view.length) * width;
      pen.globalAlpha = 0.35;
      pen.fillRect(Math.round(x), height - 5, 1, 5);
      pen.globalAlpha = 1;
      const text = time(at, step < 1 ? 1 : 0);
      const room = pen.measureText(text).width;
      pen.fillText(text, Math.min(Math.max(0, x - room / 2), width - room), height / 2 - 3);
    }
  }

  close() {
    cancelAnimationFrame(this.drawing);
    this.resize.disconnect();
    this.stop.abort();
  }
}
