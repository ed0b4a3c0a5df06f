// The keyboard, where no field or dialog has it.

import { $ } from "./dom.js";

function isTaken(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return true;
  const { target } = event;
  const name = target.localName;
  if (name === "select" || name === "textarea") return true;
  if (name === "input") return target.type !== "range" || event.key.startsWith("Arrow") || /Home|End/.test(event.key);
  // A button or link is pressed by these itself.
  return (name === "button" || name === "a" || name === "summary") && (event.key === " " || event.key === "Enter");
}

// viewer: returns the one that is open, if any.
export function listen(viewer) {
  addEventListener("keydown", (event) => {
    if (isTaken(event)) return;
    if (event.key === "?") {
      $("help").showModal();
      event.preventDefault();
      return;
    }
    const open = viewer();
    if (!open || !act(open, event)) return;
    event.preventDefault();
  });
}

function act(viewer, event) {
  const { engine, view } = viewer;
  const { key } = event;
  const step = event.shiftKey ? 1 : 5;
  if (/^[1-9]$/.test(key)) viewer.hearNumber(Number(key));
  else if (key === "0") viewer.mix.everyone();
  else if (key === " ") engine.toggle();
  else if (key === "ArrowLeft") viewer.seek(engine.position - step);
  else if (key === "ArrowRight") viewer.seek(engine.position + step);
  else if (key === "Home") viewer.seek(0);
  else if (key === "End") viewer.seek(engine.result.seconds);
  else if (key === "+" || key === "=") view.zoom(0.5, engine.position);
  else if (key === "-") view.zoom(2, engine.position);
  else if (key === "d" || key === "D") viewer.download();
  else return false;
  return true;
}
