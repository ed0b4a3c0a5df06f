// Which seconds of the clip the lanes show: scroll and zoom.

const CLOSEST = 2; // seconds

export class View extends EventTarget {
  constructor(seconds) {
    super();
    this.seconds = Math.max(seconds, 0.1);
    this.start = 0;
    this.end = this.seconds;
    this.moved = 0;
  }

  get length() {
    return this.end - this.start;
  }

  set(start, length) {
    length = Math.min(Math.max(length, Math.min(CLOSEST, this.seconds)), this.seconds);
    start = Math.min(Math.max(0, start), this.seconds - length);
    if (start === this.start && start + length === this.end) return;
    this.start = start;
    this.end = start + length;
    this.dispatchEvent(new Event("change"));
  }

  scroll(seconds) {
    this.moved = performance.now();
    this.set(this.start + seconds, this.length);
  }

  // factor < 1: closer; `at` stays where it is.
  zoom(factor, at = (this.start + this.end) / 2) {
    this.moved = performance.now();
    const length = Math.min(Math.max(this.length * factor, CLOSEST), this.seconds);
    this.set(at - ((at - this.start) / this.length) * length, length);
  }

  // Turns the page when the place leaves it, unless the user looks elsewhere.
  follow(seconds, force = false) {
    if (seconds >= this.start && seconds <= this.end) return;
    if (!force && performance.now() - this.moved < 4000) return;
    this.set(seconds - 0.05 * this.length, this.length);
  }
}
