// The row of a track: whose it is, solo, mute, level, and the place of its lane.

import { thumbnailAddress } from "./api.js";
import { element, icon } from "./dom.js";

export class Tracks {
  // on: edit(track), called for the name of a person.
  constructor(place, result, tracks, mix, on) {
    this.mix = mix;
    this.rows = tracks.map((track, n) => this.row(result, track, n, on));
    place.replaceChildren(...this.rows.map(({ row }) => row));
  }

  row(result, track, number, on) {
    const { mix } = this;
    const face = track.has_thumbnail
      ? element("img", { src: thumbnailAddress(result, track.id), alt: "", draggable: "false" })
      : element("span", { class: "initial", "aria-hidden": "true" }, initial(track, number));
    const button = (name, attributes, children, press) =>
      element("button", { class: name, "aria-pressed": "false", ...attributes }, children, { click: press });
    const hear = button("hear", { "aria-label": `Hear ${track.name}` }, face, () => mix.hear(track.id));
    const solo = button("toggle", { "aria-label": `Solo ${track.name}`, title: "Solo" }, "S", () =>
      mix.toggleSolo(track.id),
    );
    const mute = button("toggle", { "aria-label": `Mute ${track.name}`, title: "Mute" }, "M", () =>
      mix.toggleMute(track.id),
    );
    const level = element(
      "input",
      { type: "range", min: 0, max: 1, step: 0.01, value: mix.levelOf(track.id), "aria-label": `Level of ${track.name}` },
      [],
      { input: () => mix.setLevel(track.id, Number(level.value)) },
    );
    const name = track.is_voice
      ? element(
          "button",
          { class: "name", "aria-label": `Edit ${track.name}`, title: "Name, merge, split" },
          [element("span", {}, track.name), icon("edit")],
          { click: () => on.edit(track) },
        )
      : element("span", { class: "name" }, track.name);
    const warning = track.warnings?.length
      ? element("span", { class: "sign", title: track.warnings.join("\n"), role: "img" }, "!")
      : null;
    warning?.setAttribute("aria-label", `Warning: ${track.warnings.join("; ")}`);
    const meter = element("i", { class: "meter", "aria-hidden": "true" });
    const lane = element("div", { class: "lane" });
    const who = element("div", { class: "who" }, [
      hear,
      element("div", { class: "about" }, [
        element("div", { class: "line" }, [name, warning]),
        element("div", { class: "line" }, [solo, mute, level]),
      ]),
      meter,
    ]);
    const row = element("li", { class: "track", "data-track": track.id }, [who, lane]);
    row.style.setProperty("--hue", track.hue);
    return { track, row, lane, hear, solo, mute, meter };
  }

  show() {
    const { mix } = this;
    for (const { track, row, hear, solo, mute } of this.rows) {
      row.classList.toggle("unheard", !mix.isHeard(track.id));
      hear.setAttribute("aria-pressed", String(mix.isAlone(track.id)));
      solo.setAttribute("aria-pressed", String(mix.solo.has(track.id)));
      mute.setAttribute("aria-pressed", String(mix.muted.has(track.id)));
    }
  }

  meter(levels) {
    levels.forEach((level, n) => {
      const decibel = 20 * Math.log10(level + 1e-6);
      const part = Math.min(Math.max((decibel + 54) / 54, 0), 1);
      this.rows[n].meter.style.transform = `scaleY(${part.toFixed(2)})`;
    });
  }
}

// The first letter of a name, else the number that is pressed to hear the track.
function initial(track, number) {
  if (track.kind === "residual") return "…";
  return track.label ? track.name.slice(0, 1).toUpperCase() : String(number + 1);
}
