// Who is heard: solo, mute and a level for each track. Nothing here knows of sound. What is muted stays so, also where
// it is soloed.

export class Mix extends EventTarget {
  constructor(tracks) {
    super();
    this.tracks = tracks;
    this.solo = new Set();
    this.muted = new Set();
    this.level = new Map();
  }

  isHeard(track) {
    return !this.muted.has(track) && (!this.solo.size || this.solo.has(track));
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
    return this.solo.size === 1 && this.isHeard(track);
  }

  // One track alone, also a muted one; everyone where it is alone already.
  hear(track) {
    const alone = this.isAlone(track);
    this.muted.delete(track);
    this.solo = alone ? new Set() : new Set([track]);
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
