// The first view: clips to separate, those at work, and results.

import * as api from "./api.js";
import { $, element, say, size, time, toast } from "./dom.js";

const STEPS = {
  decode: "Reading the clip",
  faces: "Looking for faces",
  identify: "Telling people apart",
  separation: "Separating the voices",
  writing: "Writing the tracks",
  video: "Writing the videos",
};
const POLL_MS = 600;

export class Home {
  constructor() {
    this.sending = new Map();
    this.jobs = [];
    this.drawn = new Map();
    this.polling = 0;
    this.bounds = null;
    const drop = $("drop");
    drop.addEventListener("submit", (event) => event.preventDefault());
    $("file").addEventListener("change", () => {
      this.add($("file").files);
      $("file").value = "";
    });
    let inside = 0;
    addEventListener("dragenter", (event) => this.mark(event, (inside += 1)));
    addEventListener("dragleave", (event) => this.mark(event, (inside -= 1)));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      this.mark(event, (inside = 0));
      if (!event.dataTransfer.files.length) return;
      location.hash = "";
      this.add(event.dataTransfer.files);
    });
  }

  mark(event, inside) {
    document.body.classList.toggle("dropping", inside > 0 && event.dataTransfer?.types.includes("Files"));
  }

  async open() {
    try {
      this.bounds = await api.about();
      $("folder").textContent = this.bounds.folder;
      await Promise.all([this.refresh(), this.poll()]);
    } catch (error) {
      toast(error.message);
    }
  }

  async refresh() {
    const results = await api.results();
    $("no-results").hidden = results.length > 0;
    $("results").replaceChildren(
      ...results.map((result) => {
        if (result.damaged) return damaged(result);
        const faces = result.faces.slice(0, 4).map((track) =>
          element("img", { src: api.thumbnailAddress(result, track), alt: "", loading: "lazy" }),
        );
        if (!faces.length) faces.push(element("span", { class: "initial", "aria-hidden": "true" }, "♪"));
        const people = result.tracks.slice(0, 4).join(", ") + (result.tracks.length > 4 ? " …" : "");
        return element("li", {}, [
          element("a", { href: `#${result.id}`, class: "card" }, [
            element("span", { class: "faces-row" }, faces),
            element("strong", {}, result.name),
            element("span", { class: "facts" }, `${time(result.seconds, 0)} · ${people || "no tracks"}`),
          ]),
        ]);
      }),
    );
  }

  add(files) {
    const options = { quality: $("quality").value, speakers: $("speakers").value };
    for (const file of files) {
      if (this.bounds && file.size > this.bounds.most_bytes) {
        toast(`${file.name} has ${size(file.size)}; the page takes ${size(this.bounds.most_bytes)} at most`);
        continue;
      }
      if (this.bounds?.free_bytes != null && file.size > this.bounds.free_bytes) {
        toast(`${file.name} has ${size(file.size)}, and ${size(this.bounds.free_bytes)} are free on the disk`);
        continue;
      }
      const id = `sending-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
      const line = { id, name: file.name, state: "sending", step: "", completed: 0, total: 1, message: "" };
      const { done, stop } = api.send(file, options, (part) => {
        line.completed = part;
        this.draw();
      });
      line.stop = stop;
      this.sending.set(id, line);
      done
        .then((job) => this.jobs.push(job))
        .catch((error) => toast(error.message))
        .finally(() => {
          this.sending.delete(id);
          this.draw();
          this.poll();
        });
    }
    this.draw();
  }

  async poll() {
    clearTimeout(this.polling);
    let jobs;
    try {
      jobs = await api.jobs();
    } catch (error) {
      toast(error.message);
      this.polling = setTimeout(() => this.poll(), 5000);
      return;
    }
    for (const job of jobs) {
      const before = this.jobs.find((one) => one.id === job.id);
      if (!before || before.state === job.state) continue;
      if (job.state === "done") {
        say(`${job.name} is separated`);
        this.refresh().catch(() => {});
      }
      if (job.state === "failed") say(`${job.name} failed: ${job.message}`);
    }
    this.jobs = jobs;
    this.draw();
    if (jobs.some((job) => ["waiting", "running"].includes(job.state))) {
      this.polling = setTimeout(() => this.poll(), POLL_MS);
    }
  }

  draw() {
    const lines = [...this.sending.values(), ...[...this.jobs].reverse()];
    for (const [id, { item }] of [...this.drawn]) {
      if (!lines.some((line) => line.id === id)) {
        item.remove();
        this.drawn.delete(id);
      }
    }
    lines.forEach((line, place) => {
      if (!this.drawn.has(line.id)) this.drawn.set(line.id, this.line(line));
      const drawn = this.drawn.get(line.id);
      if ($("jobs").children[place] !== drawn.item) $("jobs").insertBefore(drawn.item, $("jobs").children[place] || null);
      this.update(drawn, line);
    });
  }

  line(line) {
    const bar = element("progress", { max: 1, "aria-label": `Progress of ${line.name}` });
    const state = element("span", { class: "state" });
    const stop = element("button", { class: "button quiet small" }, "Cancel", {
      click: () => (line.stop ? line.stop() : api.cancel(line.id).then(() => this.poll(), (error) => toast(error.message))),
    });
    stop.setAttribute("aria-label", `Cancel ${line.name}`);
    const open = element("a", { class: "button strong small" }, "Open");
    open.setAttribute("aria-label", `Open ${line.name}`);
    const item = element("li", { class: "job" }, [element("strong", {}, line.name), state, bar, stop, open]);
    return { item, bar, state, stop, open };
  }

  update({ item, bar, state, stop, open }, line) {
    const goes = ["sending", "waiting", "running"].includes(line.state);
    const part = line.total > 0 ? Math.min(line.completed / line.total, 1) : 0;
    const percent = `${Math.round(100 * part)} %`;
    const texts = {
      sending: `Sending, ${percent}`,
      waiting: "Waits for its turn",
      running: line.step ? `${STEPS[line.step] || line.step}, ${percent}` : "Starting",
      done: "Done",
      cancelled: "Cancelled",
      failed: line.message,
    };
    state.textContent = texts[line.state];
    item.dataset.state = line.state;
    bar.hidden = !goes;
    if (line.state === "waiting" || (line.state === "running" && !line.step)) bar.removeAttribute("value");
    else bar.value = part;
    stop.hidden = !goes;
    open.hidden = line.state !== "done";
    if (line.result) open.href = `#${line.result}`;
  }
}

// What cannot be opened, and why.
function damaged(result) {
  return element("li", {}, [
    element("div", { class: "card damaged" }, [
      element("strong", {}, result.name),
      element("span", { class: "facts" }, `Damaged: ${result.damaged}`),
    ]),
  ]);
}
