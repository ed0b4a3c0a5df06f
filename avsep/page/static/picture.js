// The picture follows the sound: its rate is nudged, and it is set anew where it is far off.

const FAR = 0.25; // seconds from which it is set
const NEAR = 0.008; // seconds that are let be
const PULL = 1.2; // part of what it is off that it makes up in a second
const SETTLE_MS = 700;

export class Picture {
  constructor(video, result, address) {
    this.video = video;
    this.begin = result.picture ? result.picture.begin : 0;
    this.has = Boolean(result.picture);
    this.set = 0;
    if (this.has) video.src = address;
    else video.removeAttribute("src");
    video.load();
  }

  // Seconds by which the picture is ahead of what is heard.
  off(heard) {
    return this.video.currentTime - (heard - this.begin);
  }

  follow(engine) {
    const { video } = this;
    if (!this.has || video.readyState < 1) return;
    const heard = engine.heard;
    const target = Math.min(Math.max(0, heard - this.begin), video.duration || 0);
    const off = video.currentTime - target;
    const runs = engine.playing && engine.anchor !== null;
    if (!runs) {
      if (!video.paused) video.pause();
      if (Math.abs(off) > 0.02 && !video.seeking) video.currentTime = target;
      return;
    }
    if (video.paused && !video.ended) video.play().catch(() => {});
    const now = performance.now();
    if (Math.abs(off) > FAR) {
      if (!video.seeking && now - this.set > SETTLE_MS) {
        video.currentTime = target + 0.03;
        this.set = now;
      }
      return;
    }
    const rate = Math.abs(off) < NEAR ? 1 : 1 - Math.min(Math.max(off * PULL, -0.12), 0.12);
    if (Math.abs(rate - video.playbackRate) > 0.004) video.playbackRate = rate;
  }

  close() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }
}
