"use strict";
// Everything here makes reading easier; without it the page has the same content.

// The section that is on the screen is marked in the list of sections.
{
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const mark = () => {
    const passed = [...links.keys()].filter((id) => document.getElementById(id)?.getBoundingClientRect().top < 160);
    const current = passed.at(-1) ?? links.keys().next().value;
    for (const [id, link] of links) {
      if (id === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}

// What does not scroll is no stop for the Tab key.
{
  const boxes = document.querySelectorAll(".scroll, .code pre");
  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const scrolls = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
      if (scrolls) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of boxes) watcher.observe(box);
}

// Tables: a click on a heading sorts; a long table shows its first rows and a button.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const value = (row, column) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const number = Number(text.replaceAll(",", "").replace(/[^-+.\de].*$/, ""));
    return /\d/.test(text) && !Number.isNaN(number) ? number : text;
  };
  const order = (one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other));
  for (const heading of table.tHead.rows[0].cells) {
    if (heading.tagName !== "TH") continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") === "descending" || !heading.hasAttribute("aria-sort");
      for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      const column = heading.cellIndex;
      rows.sort((a, b) => order(value(a, column), value(b, column)) * (rising ? 1 : -1));
      table.tBodies[0].append(...rows);
      table.dispatchEvent(new Event("sorted"));
    });
  }
}
for (const table of document.querySelectorAll("table[data-first]")) {
  const first = Number(table.dataset.first);
  const button = document.createElement("button");
  button.type = "button";
  let all = false;
  const show = () => {
    [...table.tBodies[0].rows].forEach((row, place) => (row.hidden = !all && place >= first));
    button.textContent = all ? `Show the first ${first}` : `Show all ${table.tBodies[0].rows.length.toLocaleString("en")}`;
  };
  button.addEventListener("click", () => {
    all = !all;
    show();
  });
  table.addEventListener("sorted", show);
  table.closest(".scroll").after(button);
  show();
}

// A small picture is enlarged without blur.
for (const picture of document.querySelectorAll(".card img")) {
  const sharpen = () => picture.classList.toggle("small", Math.max(picture.naturalWidth, picture.naturalHeight) < 64);
  if (picture.complete) sharpen();
  else picture.addEventListener("load", sharpen);
}

// Commands can be copied.
for (const box of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${box.querySelector("pre").getAttribute("aria-label") ?? ""}`.trim());
  button.addEventListener("click", async () => {
    const text = box.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages that are opened from a file may not use the clipboard; the old command works there.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  box.append(button);
}

// Evaluation: a cell of the confusion matrix shows its pictures; the arrow keys move between cells that have any.
for (const matrix of document.querySelectorAll("table[data-matrix]")) {
  const rows = [...matrix.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.querySelector("button")));
  const buttons = rows.flat().filter(Boolean);
  const stop = (button) => buttons.forEach((one) => (one.tabIndex = one === button ? 0 : -1)); // one stop for Tab
  const next = (button, down, right) => {
    let row = button.closest("tr").sectionRowIndex;
    let column = button.closest("td").cellIndex;
    do {
      row += down;
      column += right;
    } while (rows[row]?.[column] === null);
    if (rows[row]?.[column]) return rows[row][column];
    const at = buttons.indexOf(button) + down + right; // nothing further in this row or column
    return buttons[Math.min(Math.max(at, 0), buttons.length - 1)];
  };
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const one of buttons) {
        one.setAttribute("aria-expanded", String(one === button));
        document.getElementById(one.getAttribute("aria-controls")).hidden = one !== button;
      }
      stop(button);
    });
    button.addEventListener("keydown", (event) => {
      if (!moves[event.key]) return;
      event.preventDefault();
      const found = next(button, ...moves[event.key]);
      stop(found);
      found.focus();
    });
  }
  if (buttons.length) stop(buttons.find((one) => one.getAttribute("aria-expanded") === "true") ?? buttons[0]);
}

// Evaluation: of the curves of several classes, one is shown.
for (const group of document.querySelectorAll("[data-choose]")) {
  const choices = [...group.querySelectorAll(".choice")];
  const select = group.querySelector("select");
  const show = () => choices.forEach((one) => (one.hidden = one.id !== select.value));
  if (choices.length < 2) continue;
  select.closest(".choose").hidden = false;
  select.addEventListener("change", show);
  show();
}

// On paper everything is open.
{
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details.more:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
}
