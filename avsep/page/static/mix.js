// Who is heard: solo, mute and a level for each track. Nothing here knows of sound.

export class Mix extends EventTarget {
  constructor(tracks) {
    super();
    this.tracks = tracks;
    this.solo = new Set();
    this.muted = new Set();
    this.level = new Map();
  }

  isHeard(track) {
    return this.solo.size ? this.solo.has(track) : !this.muted.has(track);
  }

  get gains() {
    return this.tracks.map((track) => (this.isHeard(track) ? this.levelOf(track) : 0));
  }

  levelOf(track) {
    return this.level.get(track) ?? 1;
  }

  get hearsEveryone() {
    return !this.solo.size && !this.muted.size;
  }

  isAlone(track) {
    return this.solo.size === 1 && this.solo.has(track);
  }

  // One track alone; everyone where it is alone already.
  hear(track) {
    this.solo = this.isAlone(track) ? new Set() : new Set([track]);
    this.change();
  }

  everyone() {
    this.solo.clear();
    this.muted.clear();
    this.change();
  }

  toggleSolo(track) {
    if (!this.solo.delete(track)) this.solo.add(track);
    this.change();
  }

  toggleMute(track) {
    if (!this.muted.delete(track)) this.muted.add(track);
    this.change();
  }

  setLevel(track, level) {
    this.level.set(track, level);
    this.change();
  }

  // The same for the tracks of a result after a change.
  moveTo(tracks) {
    this.tracks = tracks;
    for (const set of [this.solo, this.muted]) for (const id of [...set]) if (!tracks.includes(id)) set.delete(id);
    this.change();
  }

  change() {
    this.dispatchEvent(new Event("change"));
  }
}
