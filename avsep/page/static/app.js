// What is shown: the list of results, or the result whose identifier is in the address.

import * as api from "./api.js";
import { $, say, toast } from "./dom.js";
import { Home } from "./home.js";
import * as keys from "./keys.js";
import { Viewer } from "./viewer.js";

const DONE = { take: "Taken away", merge: "Merged", split: "Moved to a new person" };

const home = new Home();
let viewer = null;
let opening = 0;

async function route() {
  const id = location.hash.slice(1);
  const turn = (opening += 1);
  viewer?.close();
  viewer = null;
  $("home").hidden = Boolean(id);
  $("view").hidden = true;
  $("open-download").hidden = true;
  $("title").textContent = "";
  document.title = "avsep";
  if (!id) {
    await home.open();
    return;
  }
  try {
    const result = await api.result(id);
    const boxes = await api.faces(id, result.version);
    if (turn === opening) open(result, boxes);
  } catch (error) {
    if (turn !== opening) return;
    if (error instanceof api.Changed) return route();
    toast(error.message);
    location.hash = "";
  }
}

function open(result, boxes, before = null) {
  $("view").hidden = false;
  $("open-download").hidden = false;
  $("title").textContent = result.name;
  document.title = `${result.name} – avsep`;
  viewer = new Viewer(result, boxes, before);
  viewer.changed = changed;
  viewer.outdated = outdated;
  if (before) return;
  $("title").focus({ preventScroll: true });
  say(`${result.name}, ${result.tracks.length} tracks`);
}

// The result of the open viewer is another one now.
async function changed(result, what) {
  if (!viewer || viewer.result.id !== result.id) return;
  if (what === "rename" || what === "formats") {
    viewer.rename(result);
  } else {
    const before = viewer;
    const boxes = await api.faces(result.id, result.version);
    if (viewer !== before) return; // another place was opened meanwhile
    const { playing } = before.engine;
    before.engine.pause();
    before.close();
    open(result, boxes, before);
    if (playing) viewer.engine.play();
  }
  say("Changed");
  if (result.undo) toast(DONE[what], ["Undo", () => undo(result.id)]);
}

function undo(id) {
  if (viewer?.result.id === id) viewer.change("undo");
}

// The result of the open viewer was changed by somebody else.
async function outdated() {
  const before = viewer;
  try {
    const result = await api.result(before.result.id);
    if (viewer !== before || result.version === before.result.version) return;
    await changed(result, "elsewhere");
    if (viewer && viewer !== before) toast("The result was changed elsewhere. It is shown as it is now");
  } catch (error) {
    if (viewer !== before || error instanceof api.Changed) return; // the next piece tells it again
    toast(error.message);
    location.hash = "";
  }
}

// Who clicks goes on with the keyboard of the page, not with that of the button: Space plays.
addEventListener("click", ({ detail, target }) => {
  if (detail > 0 && !target.closest("dialog")) target.closest("button")?.blur();
});
addEventListener("hashchange", route);
$("open-download").addEventListener("click", () => viewer?.download());
$("open-help").addEventListener("click", () => $("help").showModal());
keys.listen(() => viewer);
route();

// For tests and measurements.
window.avsep = {
  // What is heard of each track now, root mean square.
  levels: () => Object.fromEntries((viewer?.engine.levels() || []).map((level, n) => [viewer.tracks[n].id, level])),
  // Where the sound is, and by how much the picture is ahead of it, in seconds.
  place: () => viewer?.engine.position ?? null,
  // Whether a result is open, its sound can be played from where it is, and so much of its outlines is there, 0 to 1.
  ready: () => {
    if (!viewer) return null;
    const { engine, outlines } = viewer;
    const drawn = outlines.tiles.size / outlines.total;
    return { sound: Boolean(engine.chunks.get(engine.chunkAt(engine.position))), drawn };
  },
  off: () => (viewer?.picture.has ? viewer.picture.off(viewer.engine.heard) : null),
};
