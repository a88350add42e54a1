"use strict";
// The sample browser: which questions are listed, in which order, and which one is shown. All of it is in the URL.
(() => {
  const source = document.getElementById("samples-index");
  if (!source) return;
  const index = JSON.parse(source.textContent);
  const get = (name) => document.getElementById(name);
  const { make, scoreText, scoreTone } = sampleCard;
  const [card, list, summary, notice, numberInput, link, dialog] =
    ["s-card", "s-list", "s-sum", "s-said", "s-at", "s-link", "s-large"].map(get);
  const [task, runA, runB, show, place, by, sort, text] =
    ["s-task", "s-a", "s-b", "s-show", "s-place", "s-by", "s-sort", "s-text"].map(get);
  const PAGE = 50; // questions in the list at a time

  const fill = (select, options) => {
    const before = select.value;
    select.replaceChildren(...options.map(([value, label]) => {
      const option = make("option", "", label);
      option.value = value;
      return option;
    }));
    if (options.some(([value]) => value === before)) select.value = before;
  };
  const has = (select, value) => [...select.options].some((option) => option.value === value);

  // Parts are inflated when they are wanted, and then kept.
  const parts = new Map();
  const inflate = async (name) => {
    const content = get(`part-${name}`).textContent;
    if (name.startsWith("images-")) return JSON.parse(content);
    const bytes = Uint8Array.from(atob(content), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return JSON.parse(await new Response(stream).text());
  };
  const part = (name) => {
    if (!parts.has(name)) parts.set(name, inflate(name));
    return parts.get(name);
  };

  let data = null; // {questions, a, b, images} of the chosen task and runs
  let listed = []; // the groups that pass the filters, in order
  let current = 0; // the position in `listed`
  let group = null; // the group shown, which a link may name from outside the list
  let row = 0; // the row (copy) of it that is shown
  let promptOpen = false;

  const entry = () => index.tasks[Number(task.value)];
  const wanted = () => ({
    show: show.value,
    level: place.value.slice(0, 2),
    category: place.value.slice(3),
    words: text.value.toLowerCase().split(/\s+/).filter(Boolean),
    sort: sort.value,
  });

  let turn = 0; // loads that were overtaken by a later one have no effect
  const load = async () => {
    const mine = (turn += 1);
    const t = task.value;
    const [questions, a, b, images] = await Promise.all([
      part(`task-${t}`), part(`run-${t}-${runA.value}`), part(`run-${t}-${runB.value}`), part(`images-${t}`),
    ]);
    if (mine !== turn) return false;
    const indents = { l1: "", l2: "", l3: "– " };
    fill(place, [["", "All"], ...questions.categories.map(([level, name, title]) => [`${level}:${name}`, indents[level] + title])]);
    fill(by, entry().counts.map(([name, title]) => [name, title]));
    data = sampleData.of({ questions, a, b, images }, by.value);
    relabel();
    return true;
  };
  // Labels that depend on the task, the runs, and how questions are counted.
  const relabel = () => {
    data = sampleData.of(data, by.value);
    const { questions } = data;
    fill(show, sampleData.labels(data));
    const [units, copies] = entry().units;
    const size = [`${questions.group.length.toLocaleString("en")} ${units}`];
    if (copies) size.push(`${questions.id.length.toLocaleString("en")} ${copies}`);
    const sentence = entry().counts.find(([name]) => name === by.value)[2];
    get("s-unit").textContent = `${size.join(", ")}. ${sentence}`;
    by.parentElement.hidden = entry().counts.length < 2;
    runB.parentElement.hidden = runB.options.length < 2;
    get("s-head-b").hidden = runA.value === runB.value;
    place.parentElement.hidden = questions.places.length < 2;
  };

  const filter = () => { listed = sampleData.listed(data, wanted()); };

  const titlesOf = (g) => {
    const { categories, places, place: of } = data.questions;
    const [, ability, leaf] = places[of[g]];
    const title = (level, name) => categories.find(([one, other]) => one === level && other === name)?.[2] ?? name;
    return [title("l2", ability), title("l3", leaf)];
  };

  // The URL names all that was chosen: #task=scenes&a=tiny-base&b=tiny-mix&show=lost&level=l2&category=…&sample=12
  const fragment = () => {
    const keys = { task: entry().name, a: index.runs[Number(runA.value)], b: index.runs[Number(runB.value)], show: show.value };
    if (place.value) Object.assign(keys, { level: place.value.slice(0, 2), category: place.value.slice(3) });
    if (by.selectedIndex > 0) keys.count = by.value;
    if (sort.selectedIndex > 0) keys.sort = sort.value;
    if (text.value) keys.text = text.value;
    if (group !== null) keys.sample = data.questions.id[row];
    return `#${new URLSearchParams(keys)}`;
  };
  let written = "";
  const write = (how) => {
    link.href = fragment();
    if (!how || link.hash === written) return;
    written = link.hash;
    // Some viewers of local files refuse to change the address; the link still names it.
    try { history[how](history.state ?? { samples: true }, "", link.hash); } catch { /* the link has it */ }
  };

  const listItem = (g, position) => {
    const item = make("li");
    const button = make("button");
    button.type = "button";
    for (const run of runA.value === runB.value ? [data.a] : [data.a, data.b]) {
      const value = data.score(run, g);
      const sign = make("span", scoreTone(value), value === null ? "–" : value === 1 ? "✓" : value ? "½" : "✗");
      sign.setAttribute("aria-label", `${run === data.a ? "A" : "B"} ${scoreText(value)}`);
      sign.setAttribute("role", "img");
      button.append(sign);
    }
    const first = data.questions.start[g];
    const words = entry().probe ? data.questions.target[first] : data.questions.texts[first][0];
    const label = make("span", "list-text");
    label.append(make("span", "list-id", data.questions.group[g].slice(0, 12)), ` ${words.slice(0, 120)}`);
    button.append(label);
    button.addEventListener("click", () => go(position, "pushState"));
    item.append(button);
    return item;
  };
  let drawn = { listed: null, first: 0 }; // what the list in the document shows
  const drawList = () => {
    const first = PAGE * Math.floor(current / PAGE);
    if (drawn.listed !== listed || drawn.first !== first) {
      list.start = first + 1;
      list.replaceChildren(...listed.slice(first, first + PAGE).map((g, offset) => listItem(g, first + offset)));
      drawn = { listed, first };
    }
    [...list.children].forEach((item, offset) => {
      if (listed[first + offset] === group) item.firstChild.setAttribute("aria-current", "true");
      else item.firstChild.removeAttribute("aria-current");
    });
    // Only the list scrolls; `scrollIntoView` would move the page as well.
    const marked = list.querySelector("[aria-current]");
    if (!marked) return;
    const [box, head] = [get("s-list-box"), 28];
    const above = marked.offsetTop - head - box.scrollTop;
    const below = marked.offsetTop + marked.offsetHeight - box.clientHeight - box.scrollTop;
    if (above < 0) box.scrollTop += above;
    else if (below > 0) box.scrollTop += below;
  };

  const draw = () => {
    get("s-count").textContent = String(listed.length);
    numberInput.max = String(Math.max(1, listed.length));
    numberInput.value = String(listed.length ? current + 1 : 0);
    const [units, copies] = entry().units;
    const n = listed.reduce((sum, g) => sum + data.rowsOf(g).length, 0);
    summary.textContent = listed.length
      ? `${listed.length.toLocaleString("en")} ${listed.length === 1 ? units.replace(/s$/, "") : units}${copies ? `, ${n.toLocaleString("en")} ${copies}` : ""}`
      : "No question is like this.";
    const inList = list.contains(document.activeElement);
    const inCopies = Boolean(document.activeElement?.closest?.(".tabs"));
    drawList();
    link.hidden = group === null;
    if (group === null) {
      card.replaceChildren();
      return;
    }
    card.setAttribute("aria-label", `Question ${data.questions.group[group]}`);
    card.replaceChildren(...sampleCard.draw({
      data, group, row, task: entry(), runs: index.runs, readAs: index.readAs, rows: data.rowsOf(group), by: by.value,
      pair: runA.value !== runB.value,
      names: [runA, runB].map((select) => index.runs[Number(select.value)]),
      fullNames: [runA, runB].map((select) => index.fullNames[Number(select.value)]),
      titles: titlesOf(group),
      choose: (chosen) => { row = chosen; draw(); write("replaceState"); },
      enlarge,
      promptOpen: (open) => (open === undefined ? promptOpen : (promptOpen = open)),
    }));
    if (inList) list.querySelector("[aria-current]")?.focus({ preventScroll: true });
    if (inCopies) card.querySelector(".tabs [aria-current]")?.focus({ preventScroll: true });
  };

  const say = (words) => {
    notice.textContent = words;
    notice.hidden = !words;
  };
  const go = (position, how) => {
    if (listed.length) {
      current = Math.min(Math.max(0, position), listed.length - 1);
      group = listed[current];
      row = sampleData.tellingRow(data, wanted(), group);
    } else group = null;
    say("");
    draw();
    write(how);
  };
  // After a filter was changed: the same question if it is still listed, else the first.
  const again = (how) => {
    const before = group;
    filter();
    go(Math.max(0, listed.indexOf(before)), how);
  };

  const enlarge = (src, label) => {
    const image = make("img");
    image.alt = label;
    image.src = src;
    get("s-large-image").replaceChildren(image);
    const size = () => {
      get("s-large-text").textContent = `${label}, ${image.naturalWidth} × ${image.naturalHeight} pixels in this file`;
    };
    image.addEventListener("load", size);
    size();
    dialog.showModal();
  };
  get("s-large-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  const fillRuns = () => {
    const options = index.runs.flatMap((name, number) => (entry().runs[number] ? [[String(number), name]] : []));
    fill(runA, options);
    fill(runB, options);
  };

  // What the page opens on: what flipped between the baseline and the best run, else what is wrong.
  const open = async (t, keepsRuns = false) => {
    task.value = String(t);
    const pair = [runA.value, runB.value];
    fillRuns();
    if (!keepsRuns || runA.value !== pair[0] || runB.value !== pair[1]) {
      runA.selectedIndex = 0;
      runB.value = String(entry().best);
    }
    text.value = place.value = "";
    sort.selectedIndex = by.selectedIndex = 0;
    if (!(await load())) return false;
    by.selectedIndex = 0;
    relabel();
    for (const name of ["flipped", "a-wrong", "all"]) {
      show.value = name;
      filter();
      if (listed.length) break;
    }
    return true;
  };

  // Aggregations that are not in the menu have the scores of one that is: a mean of leaves those of its rows.
  const countOf = (name) => {
    const known = ["circular_micro", "row_micro", "vanilla0_micro", "row_l3_macro"].includes(name);
    return !known || has(by, name) ? name : has(by, "row_micro") ? "row_micro" : by.options[0].value;
  };

  const follow = async () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("task") && !asked.has("sample")) return false;
    const arrived = !history.state; // by a link, not by going back
    const problems = [];
    const t = index.tasks.findIndex(({ name }) => name === asked.get("task"));
    if (t < 0) problems.push(`The link names the task ${asked.get("task")}, which is not in this file.`);
    if (!(await open(Math.max(0, t)))) return true;
    const choose = (select, key, value) => {
      if (value === null) return;
      if (has(select, value)) select.value = value;
      else problems.push(`The ${key} of the link, ${asked.get(key)}, is not in this file.`);
    };
    for (const [select, key] of [[runA, "a"], [runB, "b"]]) {
      if (!asked.has(key)) continue;
      const short = index.runs.indexOf(asked.get(key));
      choose(select, key, String(short < 0 ? index.fullNames.indexOf(asked.get(key)) : short));
    }
    if (!(await load())) return true;
    choose(by, "count", countOf(asked.get("count")));
    relabel();
    choose(show, "show", asked.get("show") ?? (asked.has("sample") ? "all" : null));
    choose(sort, "sort", asked.get("sort"));
    if (asked.get("category")) choose(place, "category", `${asked.get("level") ?? "l2"}:${asked.get("category")}`);
    text.value = asked.get("text") ?? "";
    filter();
    go(0);
    if (asked.has("sample")) {
      const n = data.questions.id.indexOf(asked.get("sample"));
      if (n < 0) problems.push("The sample of the link is not in this file.");
      else {
        group = data.questions.start.findLastIndex((first) => first <= n);
        row = n;
        current = Math.max(0, listed.indexOf(group));
        if (!listed.includes(group)) problems.push("The question of the link is not among those that its filters list.");
        draw();
      }
    }
    say(problems.join(" "));
    written = "";
    write("replaceState");
    if (arrived) {
      get("samples").scrollIntoView({ behavior: "instant" });
      card.focus({ preventScroll: true });
    }
    return true;
  };

  const failing = (work) => (...given) => work(...given).catch(() => {
    say("This browser cannot inflate the samples; a newer one can (DecompressionStream).");
  });
  const start = failing(async () => {
    if (!(await follow()) && (await open(0))) go(0);
  });

  if (!index.tasks.length) { get("browser").hidden = true; return; }
  fill(task, index.tasks.map(({ name }, number) => [String(number), name]));
  fill(show, sampleData.labels(data));
  fill(sort, sampleData.SORTS.map(([name, label]) => [name, label]));
  task.addEventListener("change", failing(async () => { if (await open(task.value, true)) go(0, "pushState"); }));
  for (const select of [runA, runB]) select.addEventListener("change", failing(async () => { if (await load()) again("pushState"); }));
  for (const select of [show, place, sort]) select.addEventListener("change", () => again("pushState"));
  by.addEventListener("change", () => { relabel(); again("pushState"); });
  let typing = false; // one step back for a text, not one for each letter
  text.addEventListener("input", () => { again(typing ? "replaceState" : "pushState"); typing = true; });
  text.addEventListener("blur", () => { typing = false; });
  numberInput.addEventListener("change", () => go(Number(numberInput.value) - 1, "replaceState"));
  get("s-next").addEventListener("click", () => go(current + 1, "replaceState"));
  get("s-previous").addEventListener("click", () => go(current - 1, "replaceState"));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    go(current + step, "replaceState");
  });
  addEventListener("hashchange", failing(async () => {
    if (!(await follow()) && !location.hash && (await open(0))) go(0);
  }));
  // A link to what the URL already names changes nothing in it, but leads here as well.
  addEventListener("click", (event) => {
    const anchor = event.target.closest?.("a[href^='#task=']");
    if (anchor && anchor !== link && anchor.hash === location.hash) get("samples").scrollIntoView({ behavior: "instant" });
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !data || dialog.open) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "j") go(current + 1, "replaceState");
    else if (event.key === "k") go(current - 1, "replaceState");
  });
  start();
})();
