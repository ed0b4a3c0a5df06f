// Small helpers for elements, and what is told to the user.

export const $ = (id) => document.getElementById(id);

const ICONS = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  sound: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15 9a4 4 0 0 1 0 6M17.5 6.5a8 8 0 0 1 0 11",
  muted: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9.5l5 5M20.5 9.5l-5 5",
  solo: "M12 13.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20c1-3.500 4-5 7-5s6 1.500 7 5",
  edit: "M5 19l1-4L16 5l3 3L9 18zM14 7l3 3",
};

// element("button", {class: "button", "aria-label": "Play"}, [children], {click: f})
export function element(name, attributes = {}, children = [], events = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...[children].flat().filter((child) => child !== null));
  for (const [event, listener] of Object.entries(events)) made.addEventListener(event, listener);
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon ${name}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// For screen readers.
export function say(text) {
  if ($("said").textContent !== text) $("said").textContent = text;
}

let hiding = 0;

// For everyone: something went wrong, or is done. action: [text of a button, what it does].
export function toast(text, action = null) {
  const box = $("toast");
  const hide = () => (box.hidden = true);
  const act = () => {
    hide();
    action[1]();
  };
  box.replaceChildren(text, action ? element("button", { class: "button small" }, action[0], { click: act }) : "");
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(hide, (action ? 15000 : 4000) + 60 * text.length);
}

// 83.4 -> "1:23.4"; long clips have hours.
export function time(seconds, digits = 1) {
  const whole = Math.round(Math.max(0, seconds) * 10 ** digits) / 10 ** digits;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = (whole % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes < 10 && unit ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

// A button that has to be pressed twice, for what is not to be done by mistake.
export function armed(button, act) {
  const text = button.textContent;
  let disarming = 0;
  const disarm = () => {
    clearTimeout(disarming);
    disarming = 0;
    button.textContent = text;
    button.classList.remove("danger");
  };
  button.addEventListener("click", () => {
    if (disarming) {
      disarm();
      act();
      return;
    }
    button.textContent = `${text}: really?`;
    button.classList.add("danger");
    disarming = setTimeout(disarm, 5000);
  });
  return button;
}
