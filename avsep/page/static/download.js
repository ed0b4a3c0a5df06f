// Files of a result: one, some or all of them, and further formats.

import { archiveAddress, fileAddress } from "./api.js";
import { $, element, size } from "./dom.js";

// on: formats(names) -> promise of success.
export function downloadFiles(result, on) {
  const dialog = $("download");
  const owner = (name) => result.tracks.find((track) => track.files.includes(name));
  const boxes = [];
  const list = result.files.map(({ name, bytes }, n) => {
    const box = element("input", { type: "checkbox", value: name, id: `file-${n}` }, [], { change: () => update() });
    boxes.push(box);
    const said = result.outdated.files.includes(name) ? "written before the last change" : owner(name)?.label;
    return element("li", {}, [
      box,
      element("label", { for: `file-${n}` }, [name, said ? element("small", {}, said) : ""]),
      element("span", { class: "size" }, size(bytes)),
      element("a", { class: "button quiet small", href: fileAddress(result, name), download: name }, "Get"),
    ]);
  });
  for (const [n, item] of list.entries()) {
    item.lastElementChild.setAttribute("aria-label", `Download ${result.files[n].name}`);
  }
  const some = element("a", { class: "button", download: "" }, "Download chosen");
  const all = element("a", { class: "button strong", download: "", href: archiveAddress(result, []) }, "Download all");
  const update = () => {
    const names = boxes.filter((box) => box.checked).map((box) => box.value);
    if (names.length) some.setAttribute("href", archiveAddress(result, names));
    else some.removeAttribute("href");
    some.setAttribute("aria-disabled", String(!names.length));
  };
  update();
  const parts = [
    element("h2", { id: "download-title" }, "Download"),
    element("ul", { class: "files" }, list),
    element("div", { class: "row" }, [all, some]),
  ];
  if (result.formats.length) parts.push(formats(result.formats, dialog, on));
  const close = element("button", { class: "button" }, "Close", { click: () => dialog.close() });
  dialog.replaceChildren(...parts, close);
  dialog.showModal();
}

function formats(names, dialog, on) {
  const boxes = names.map((name) => element("input", { type: "checkbox", value: name, id: `format-${name}` }));
  const make = element("button", { class: "button", type: "button" }, "Make", {
    click: async () => {
      const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
      if (!wanted.length) return;
      make.disabled = true;
      if (await on.formats(wanted)) dialog.close();
      make.disabled = false;
    },
  });
  return element("fieldset", { class: "field" }, [
    element("legend", {}, "Time lines for editors, players and diarization"),
    element("div", { class: "row wrap" }, [
      ...boxes.flatMap((box, n) => [element("span", { class: "choice" }, [box, element("label", { for: box.id }, names[n])])]),
      make,
    ]),
  ]);
}
