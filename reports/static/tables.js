"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const notice = document.getElementById("said");
  root.classList.add("scripted");

  // Aggregation switch: what stands in <details> without a script is shown one at a time.
  const alternatives = all(".alt");
  for (const part of alternatives) if (part.tagName === "DETAILS") part.open = true;
  const choosers = all("[data-choose]");
  const choose = (name) => {
    for (const part of alternatives) {
      const first = part.tagName === "DIV"; // what a benchmark publishes; a name of "" chooses it
      part.hidden = name ? !part.dataset.aggregation.split(" ").includes(name) : !first;
    }
    for (const button of choosers) button.setAttribute("aria-pressed", String(button.dataset.choose === name));
  };
  for (const button of choosers) button.addEventListener("click", () => choose(button.dataset.choose));
  if (choosers.length) choose(choosers[0].dataset.choose);
  else for (const part of alternatives) part.hidden = false;

  // Sorting: the bodies of measured runs; those without a value stay last.
  const valueOf = (body, column) => {
    const cell = body.rows[0].cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
  };
  const compare = (one, two) => {
    const a = Number(one.replace("−", "-")), b = Number(two.replace("−", "-"));
    return Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(two) : a - b;
  };
  const empty = (text) => text === "" || text === "–";
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = head.querySelector(".sorter");
      if (!button) return;
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const first = head.classList.contains("name") ? "ascending" : "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = before === first ? other : first;
        const sign = order === "ascending" ? 1 : -1;
        for (const heading of heads) if (heading.querySelector(".sorter")) heading.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", order);
        const bodies = all("tbody[data-label]:not(.published)", table).map((body) => [valueOf(body, column), body]);
        bodies.sort(([a], [b]) => empty(a) - empty(b) || (empty(a) ? 0 : sign * compare(a, b)));
        table.tHead.after(...bodies.map(([, body]) => body));
        if (notice) notice.textContent = `Sorted by ${button.textContent}, ${order}.`;
      });
    });
  }

  // The sentences behind a row.
  for (const button of all(".more")) {
    const row = button.closest("tbody").querySelector(".behind");
    row.querySelector("details").open = true;
    button.addEventListener("click", () => {
      button.setAttribute("aria-expanded", String(row.classList.toggle("shown")));
    });
  }

  // Search: rows whose run's name holds all the words.
  const search = document.getElementById("search");
  const rows = all("tbody[data-label]");
  search?.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const names = new Set();
    for (const row of rows) {
      const name = row.dataset.label.toLowerCase();
      row.hidden = !words.every((word) => name.includes(word));
      if (!row.hidden) names.add(name);
    }
    if (notice) notice.textContent = words.length ? `${names.size} ${names.size === 1 ? "run" : "runs"} found.` : "All runs shown.";
  });

  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const text = button.previousElementSibling.textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = "Selected";
      }
    });
  }

  // A printed page has everything open, and afterwards what was open before.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
  });
})();
