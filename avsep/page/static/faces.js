// A frame on every face of the picture, which is a button: hear that person.

import { element } from "./dom.js";

const REACH = 0.6; // seconds over which two boxes belong to one appearance for sure

export class Faces {
  // rows: by track, [seconds, x1, y1, x2, y2] in order of time.
  constructor(place, result, rows, hear) {
    this.result = result;
    this.faces = result.tracks
      .filter((track) => result.picture && (rows[track.id]?.length || track.box))
      .map((track) => {
        const button = element(
          "button",
          { class: "face", "data-track": track.id, "aria-pressed": "false" },
          element("span", {}, track.name),
          { click: () => hear(track.id) },
        );
        button.style.setProperty("--hue", track.hue);
        button.setAttribute("aria-label", `Hear ${track.name}`);
        return { track, rows: rows[track.id] || [], button };
      });
    place.replaceChildren(...this.faces.map((face) => face.button));
  }

  follow(seconds) {
    for (const face of this.faces) {
      const box = this.boxAt(face, seconds);
      const { button } = face;
      // Who has the focus keeps it while the face is away for a moment.
      button.classList.toggle("away", !box);
      const hide = !box && document.activeElement !== button;
      if (button.hidden !== hide) button.hidden = hide;
      if (box) this.put(button, box);
    }
  }

  put(button, [x1, y1, x2, y2]) {
    const { width, height } = this.result.picture;
    const percent = (value, of) => `${((100 * value) / of).toFixed(2)}%`;
    button.style.left = percent(x1, width);
    button.style.top = percent(y1, height);
    button.style.width = percent(x2 - x1, width);
    button.style.height = percent(y2 - y1, height);
  }

  boxAt({ track, rows }, seconds) {
    const seen = track.appearances.find(([start, end]) => seconds >= start - 0.02 && seconds < end + 0.02);
    if (!seen) return null;
    if (!rows.length) return track.box;
    let low = 0;
    let high = rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (rows[middle][0] <= seconds) low = middle;
      else high = middle - 1;
    }
    const [before, after] = [rows[low], rows[low + 1]];
    if (!after || after[0] > seen[1] || before[0] < seen[0] - REACH) return before.slice(1);
    const part = Math.min(Math.max((seconds - before[0]) / (after[0] - before[0] || 1), 0), 1);
    return before.slice(1).map((value, n) => value + part * (after[n + 1] - value));
  }

  show(mix) {
    for (const { track, button } of this.faces) {
      button.setAttribute("aria-pressed", String(mix.isAlone(track.id)));
      button.classList.toggle("unheard", !mix.isHeard(track.id));
    }
  }
}
