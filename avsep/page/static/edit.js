// What can be put right of a person: name, merge, split, a wrong span.

import { $, armed, element, time } from "./dom.js";

const text = ([start, end]) => `${time(start)} – ${time(end)}`;

// on: change(what, asked) -> promise of success, play(span), track: the person, others: who else is there.
export function editPerson(track, others, chosen, on) {
  const dialog = $("person");
  const spans = track.speaking || [];
  const boxes = [];
  const run = async (what, asked) => {
    whole.disabled = true;
    busy.hidden = false;
    const done = await on.change(what, asked);
    whole.disabled = false;
    busy.hidden = true;
    if (!done) return;
    dialog.close();
    // What had the focus is another element now.
    document.querySelector(`.track[data-track="${CSS.escape(track.id)}"] button.name`)?.focus();
  };
  const range = () => [from, to].map((field) => (field.value === "" ? NaN : Number(field.value)));
  const picked = () => {
    const found = boxes.filter((box) => box.checked).map((box) => spans[Number(box.value)]);
    const [start, end] = range();
    return start < end ? [...found, [start, end]] : found;
  };

  const name = element("input", { type: "text", id: "person-name", maxlength: 100, value: track.label || "" });
  name.setAttribute("autocomplete", "off");
  name.setAttribute("placeholder", track.id);
  const renaming = element("form", { class: "field" }, [
    element("label", { for: "person-name" }, "Name"),
    element("div", { class: "row" }, [name, element("button", { class: "button strong" }, "Save")]),
  ]);
  renaming.addEventListener("submit", (event) => {
    event.preventDefault();
    run("rename", { track: track.id, name: name.value });
  });

  const list = spans.map((span, n) => {
    const box = element("input", { type: "checkbox", value: n, id: `span-${n}` }, [], { change: () => update() });
    box.checked = Boolean(chosen) && chosen[0] === span[0] && chosen[1] === span[1];
    boxes.push(box);
    const play = element("button", { type: "button", class: "button quiet small" }, "Play", {
      click: () => on.play(span),
    });
    play.setAttribute("aria-label", `Play ${text(span)}`);
    return element("li", {}, [box, element("label", { for: `span-${n}` }, text(span)), play]);
  });
  const own = chosen && !boxes.some((box) => box.checked) ? chosen.map((seconds) => seconds.toFixed(2)) : ["", ""];
  const [from, to] = ["from", "to"].map((end, n) =>
    element("input", { type: "number", min: 0, step: 0.01, id: `span-${end}`, value: own[n] }, [], {
      input: () => update(),
    }),
  );
  const split = element("button", { type: "button", class: "button" }, "Move to a new person", {
    click: () => run("split", { track: track.id, spans: picked() }),
  });
  const take = armed(
    element("button", { type: "button", class: "button", title: "Their sound goes to the residual" }, "Take away"),
    () => run("take", { track: track.id, spans: picked() }),
  );
  const update = () => {
    const none = !picked().length;
    split.disabled = none;
    take.disabled = none;
  };
  update();

  const merging = [];
  if (others.length) {
    const other = element(
      "select",
      { id: "person-other" },
      others.map((one) => element("option", { value: one.id }, one.name)),
      { change: () => warn() },
    );
    const together = element("p", { class: "facts", role: "status" });
    const warn = () => {
      const seconds = track.seen_with[other.value];
      together.textContent = seconds === undefined ? "" : `Both are seen at ${time(seconds)}, so they seem to be two people.`;
    };
    warn();
    const merge = armed(element("button", { type: "button", class: "button" }, "Merge"), () =>
      run("merge", { track: track.id, other: other.value }),
    );
    merging.push(
      element("div", { class: "field" }, [
        element("label", { for: "person-other" }, `${track.name} is the same person as`),
        element("div", { class: "row" }, [other, merge]),
        together,
      ]),
    );
  }

  const busy = element("p", { class: "busy", role: "status", hidden: true }, "Changing the files…");
  const whole = element("fieldset", {}, [
    renaming,
    element("div", { class: "field" }, [
      element("span", { class: "label", id: "spans-title" }, spans.length ? "Speaks" : "Does not speak"),
      element("ul", { class: "spans", "aria-labelledby": "spans-title" }, list),
      element("div", { class: "row wrap" }, [
        element("label", { for: "span-from" }, "or from"), from,
        element("label", { for: "span-to" }, "to"), to, element("span", { class: "label" }, "seconds"),
      ]),
      element("div", { class: "row wrap" }, [split, take]),
    ]),
    ...merging,
  ]);
  const close = element("button", { class: "button" }, "Close", { click: () => dialog.close() });
  dialog.replaceChildren(element("h2", { id: "person-title" }, track.name), whole, busy, close);
  dialog.showModal();
  name.focus();
  name.select();
  boxes.find((box) => box.checked)?.closest("li").scrollIntoView({ block: "center" });
}
