// The view of a result: sound, picture, faces and lanes put together.

import * as api from "./api.js";
import { downloadFiles } from "./download.js";
import { $, element, icon, say, time, toast } from "./dom.js";
import { editPerson } from "./edit.js";
import { Engine } from "./engine.js";
import { Faces } from "./faces.js";
import { Lanes } from "./lanes.js";
import { Mix } from "./mix.js";
import { Outlines } from "./outline.js";
import { Overview } from "./overview.js";
import { Picture } from "./picture.js";
import { View } from "./span.js";
import { Tracks } from "./tracks.js";

const HUES = [222, 24, 152, 312, 48, 190, 270, 0];
const RESIDUAL = "residual";

export class Viewer {
  // boxes: of the faces. before: the viewer of the same result before it was changed.
  constructor(result, boxes, before = null) {
    this.boxes = boxes;
    this.set(result);
    const ids = this.tracks.map((track) => track.id);
    this.mix = before ? before.mix : new Mix(ids);
    this.view = before?.result.seconds === result.seconds ? before.view : new View(result.seconds);
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.engine = new Engine(result, ids);
    this.picture = new Picture($("video"), result, api.videoAddress(result));
    this.outlines = new Outlines(result, this.tracks.length);
    this.lanes = new Lanes(this.view, this.outlines, {
      seek: (seconds, track) => this.point(seconds, track),
      choose: (track, span) => track.is_voice && this.select(track, span),
    });
    this.lanes.addRuler($("ruler"));
    this.overview = new Overview($("overview"), this.view);
    this.build();
    $("seek").max = result.seconds;
    $("screen").hidden = !result.picture;
    if (result.picture) {
      const { width, height } = result.picture;
      $("screen").style.setProperty("--aspect", width / height);
    }
    this.mix.addEventListener("change", () => this.show(), { signal });
    this.engine.addEventListener("change", () => this.showPlay(), { signal });
    for (const one of [this.engine, this.outlines]) {
      one.addEventListener("fault", (event) => this.fault(event.detail), { signal });
    }
    $("play").addEventListener("click", () => this.engine.toggle(), { signal });
    $("everyone").addEventListener("click", () => this.mix.everyone(), { signal });
    $("seek").addEventListener("input", () => this.seek(Number($("seek").value)), { signal });
    $("zoom-in").addEventListener("click", () => this.view.zoom(0.5, this.engine.position), { signal });
    $("zoom-out").addEventListener("click", () => this.view.zoom(2, this.engine.position), { signal });
    this.mix.moveTo(ids);
    this.select(null, null);
    this.showWarnings();
    this.showOutdated();
    if (before) this.engine.seek(before.engine.position);
    this.showPlay();
    this.tick = this.tick.bind(this);
    this.frame = requestAnimationFrame(this.tick);
  }

  set(result) {
    this.result = result;
    result.tracks.forEach((track, n) => (track.hue = HUES[n % HUES.length]));
    const rest = { id: RESIDUAL, name: "Residual", kind: "residual", warnings: [], speaking: null, hue: 220 };
    this.tracks = result.residual ? [...result.tracks, rest] : result.tracks;
  }

  // Rows, lanes and faces.
  build() {
    this.rows = new Tracks($("tracks"), this.result, this.tracks, this.mix, { edit: (track) => this.edit(track) });
    this.rows.rows.forEach(({ lane, track }, n) => this.lanes.add(lane, track, n));
    this.faces = new Faces($("faces"), this.result, this.boxes, (track) => this.hear(track));
    this.lanes.draw();
  }

  // Somebody alone, from where it is; and it plays.
  hear(id) {
    this.mix.hear(id);
    if (!this.engine.playing) this.engine.play();
  }

  hearNumber(number) {
    const track = this.tracks[number - 1];
    if (track) this.hear(track.id);
  }

  seek(seconds) {
    this.engine.seek(seconds);
    this.view.follow(seconds, true);
  }

  // A click in a lane: go there, and choose the span of speech that is there.
  point(seconds, track) {
    this.engine.seek(seconds);
    const span = track?.is_voice ? (track.speaking || []).find(([start, end]) => seconds >= start && seconds <= end) : null;
    this.select(track, span || null);
  }

  select(track, span) {
    this.lanes.select(track?.id, span);
    const bar = $("selection");
    bar.hidden = !span;
    if (!span) return;
    const button = (text, act) => element("button", { class: "button small" }, text, { click: act });
    const what = { track: track.id, spans: [span] };
    bar.replaceChildren(
      element("span", {}, `${track.name}, ${time(span[0])} – ${time(span[1])}`),
      button("Play", () => this.playSpan(track, span)),
      button("Move to a new person", () => this.change("split", what)),
      button("More…", () => this.edit(track, span)),
      button("Close", () => this.select(null, null)),
    );
  }

  playSpan(track, [start]) {
    if (!this.mix.isAlone(track.id)) this.mix.hear(track.id);
    this.seek(start);
    this.engine.play();
  }

  edit(track, span = null) {
    const others = this.result.tracks.filter((one) => one.is_voice && one.id !== track.id);
    editPerson(track, others, span, {
      change: (what, asked) => this.change(what, asked),
      play: (one) => this.playSpan(track, one),
    });
  }

  download() {
    downloadFiles(this.result, { formats: (formats) => this.change("formats", { formats }) });
  }

  // Whether it worked; the app is told of the result as it is then.
  async change(what, asked = {}) {
    this.changing = true;
    try {
      const result = await api.change(this.result, what, asked);
      await this.changed(result, what);
      return true;
    } catch (error) {
      if (error instanceof api.Changed) await this.outdated();
      else toast(error.message);
      return false;
    } finally {
      this.changing = false;
    }
  }

  // Where the result is another one by now, and not by a change of this page, the app is told.
  async fault(error) {
    if (!(error instanceof api.Changed)) {
      toast(error.message);
      return;
    }
    if (this.changing) return;
    this.changing = true;
    await this.outdated();
    this.changing = false;
  }

  // A new name leaves all sound as it is.
  rename(result) {
    this.set(result);
    this.engine.result = result;
    this.engine.chunks.result = result;
    this.outlines.result = result;
    this.lanes.clear();
    this.build();
    this.showWarnings();
    this.showOutdated();
    this.select(null, null);
    this.show();
  }

  show() {
    this.engine.mix(this.mix.gains);
    this.rows.show();
    this.faces.show(this.mix);
    const { mix } = this;
    $("everyone").setAttribute("aria-pressed", String(mix.hearsEveryone));
    const heard = this.tracks.filter((track) => mix.isHeard(track.id)).map((track) => track.name);
    say(mix.hearsEveryone ? "Hearing everyone" : heard.length ? `Hearing ${heard.join(", ")}` : "Hearing nobody");
  }

  showPlay() {
    const { playing } = this.engine;
    const button = $("play");
    const label = playing ? "Pause" : "Play";
    if (button.getAttribute("aria-label") !== label || !button.firstChild) {
      button.setAttribute("aria-label", label);
      button.replaceChildren(icon(playing ? "pause" : "play"));
    }
  }

  showWarnings() {
    const texts = [
      ...this.result.warnings,
      ...this.result.tracks.flatMap((track) => track.warnings.map((text) => `${track.name}: ${text}`)),
    ];
    const box = $("warnings");
    box.hidden = !texts.length;
    box.firstElementChild.textContent = `${texts.length} warning${texts.length === 1 ? "" : "s"}`;
    box.lastElementChild.replaceChildren(...texts.map((text) => element("li", {}, text)));
  }

  // Time lines that do not tell of the last change.
  showOutdated() {
    const { files, formats } = this.result.outdated;
    const box = $("outdated");
    box.hidden = !files.length;
    if (box.hidden) return;
    const again = element("button", { class: "button small" }, "Write them again", {
      click: async () => {
        again.disabled = true;
        if (!(await this.change("formats", { formats }))) again.disabled = false;
      },
    });
    const text = `Written before the last change: ${files.join(", ")}.`;
    const rest = "avsep timeline, on the command line, writes them again.";
    box.replaceChildren(element("span", {}, formats.length ? text : `${text} ${rest}`), formats.length ? again : "");
  }

  tick() {
    this.frame = requestAnimationFrame(this.tick);
    const { engine } = this;
    const position = engine.position;
    const text = `${time(position)} / ${time(this.result.seconds)}`;
    if ($("clock").textContent !== text) {
      $("clock").textContent = text;
      $("seek").value = position;
      $("seek").setAttribute("aria-valuetext", text);
    }
    if (engine.playing) this.view.follow(position);
    this.lanes.follow(position);
    this.faces.follow(position);
    this.rows.meter(engine.levels());
    this.picture.follow(engine);
  }

  close() {
    for (const id of ["person", "download"]) $(id).close();
    cancelAnimationFrame(this.frame);
    this.stop.abort();
    this.engine.close();
    this.picture.close();
    this.outlines.close();
    this.overview.close();
    this.lanes.close();
  }
}
