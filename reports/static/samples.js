"use strict";
(() => {
  const source = document.getElementById("samples-index");
  if (!source) return;
  const index = JSON.parse(source.textContent);
  const get = (name) => document.getElementById(name);
  const [card, count, numberInput, link, notice] = ["s-card", "s-count", "s-at", "s-link", "s-said"].map(get);
  const [task, runA, runB, show, place, text] =
    ["s-task", "s-a", "s-b", "s-show", "s-place", "s-text"].map(get);

  const make = (tag, name, content) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (content !== undefined) element.textContent = content;
    return element;
  };
  const fill = (select, options) => {
    const before = select.value;
    select.replaceChildren(...options.map(([value, label]) => {
      const option = make("option", "", label);
      option.value = value;
      return option;
    }));
    if (options.some(([value]) => value === before)) select.value = before;
  };

  // Parts are inflated when they are wanted, and then kept.
  const parts = new Map();
  const inflate = async (name) => {
    const text = get(`part-${name}`).textContent;
    if (name.startsWith("images-")) return JSON.parse(text);
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return JSON.parse(await new Response(stream).text());
  };
  const part = (name) => {
    if (!parts.has(name)) parts.set(name, inflate(name));
    return parts.get(name);
  };

  const UNREAD = "nxr";
  const isRight = (run, row) => run.value[row] === 1;
  const UNSCORED = "-ec";
  const answered = (run, row) => !UNSCORED.includes(run.status[row]);
  const wrong = (run, row) => answered(run, row) && !isRight(run, row);
  const unread = (run, row) => UNREAD.includes(run.status[row]);
  const CHOICES = [
    ["all", "All", () => true],
    ["flipped", "Flipped, either way", (a, b, row) => answered(a, row) && answered(b, row) && isRight(a, row) !== isRight(b, row)],
    ["gained", "A wrong, B right", (a, b, row) => wrong(a, row) && isRight(b, row)],
    ["lost", "A right, B wrong", (a, b, row) => isRight(a, row) && wrong(b, row)],
    ["a-right", "A is right", (a, b, row) => isRight(a, row)],
    ["a-wrong", "A is wrong", (a, b, row) => wrong(a, row)],
    ["a-unread", "A is unread", (a, b, row) => unread(a, row)],
    ["b-right", "B is right", (a, b, row) => isRight(b, row)],
    ["b-wrong", "B is wrong", (a, b, row) => wrong(b, row)],
    ["b-unread", "B is unread", (a, b, row) => unread(b, row)],
    ["failed", "A request failed", (a, b, row) => a.status[row] === "e" || b.status[row] === "e"],
    ["no-content", "Reasoning, no reply", (a, b, row) => a.status[row] === "c" || b.status[row] === "c"],
  ];

  let data = null; // {questions, a, b, images} of the chosen task and runs
  let list = []; // row numbers that pass the filters
  let current = 0; // position in the list
  let row = 0; // the row shown, which a link or a copy may name from outside the list

  const load = async () => {
    const t = task.value;
    const [questions, a, b, images] = await Promise.all([
      part(`task-${t}`), part(`run-${t}-${runA.value}`), part(`run-${t}-${runB.value}`), part(`images-${t}`),
    ]);
    data = { questions, a, b, images };
    const levels = [["", "All"]];
    for (const level of [1, 2]) {
      for (const name of [...new Set(questions.places.map((categories) => categories[level]))].sort()) {
        levels.push([`${level}:${name}`, (level === 2 ? "– " : "") + name.replaceAll("_", " ")]);
      }
    }
    fill(place, levels);
  };

  const allText = (run, n) => `${run.text[n] ?? ""} ${run.reasoning[n] ?? ""}`;

  const filter = () => {
    const { questions, a, b } = data;
    const test = CHOICES.find(([name]) => name === show.value)[2];
    const [level, name] = place.value ? [Number(place.value[0]), place.value.slice(2)] : [0, ""];
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    list = [];
    for (let n = 0; n < questions.id.length; n++) {
      if (!test(a, b, n)) continue;
      if (level && questions.places[questions.place[n]][level] !== name) continue;
      if (words.length) {
        const options = questions.options[n].map((option) => option.join(" ")).join(" ");
        const all = `${questions.id[n]} ${questions.question[n]} ${options} ${allText(a, n)} ${allText(b, n)}`.toLowerCase();
        if (!words.every((word) => all.includes(word))) continue;
      }
      list.push(n);
    }
    current = 0;
  };

  const reply = (letter, run, number, other) => {
    const box = make("div", "reply");
    box.append(make("h3", "", `${letter} · ${index.runs[number]}`));
    const state = run.status[row];
    const line = make("p", "verdict-line");
    if (UNSCORED.includes(state)) line.append(index.readAs[state]);
    else {
      const value = run.value[row];
      const good = value === 1;
      line.append(make("span", good ? "right-answer" : "wrong-answer",
        good ? "Right" : value ? `Partly right (${(100 * value).toFixed(0)}%)` : "Wrong"));
      line.append(run.answer[row] === null ? `: ${index.readAs[state]}` : `: ${run.answer[row]}, read ${index.readAs[state]}`);
      if (good !== isRight(other, row) && answered(other, row)) line.append(" · flipped");
    }
    box.append(line);
    const thinking = (label, words) => {
      const thought = make("details", "thought");
      thought.append(make("summary", "", label), make("pre", "", words));
      box.append(thought);
    };
    const words = run.text[row];
    if (words === null) return box;
    const apart = run.reasoning[row];
    if (apart !== undefined) thinking(`Reasoning, ${apart.trim().length} characters`, apart.trim());
    const match = /^([^]*?)<think>([^]*?)(?:<\/think>([^]*)|$)/i.exec(words);
    if (match) {
      if (match[1].trim()) box.append(make("pre", "", match[1].trim()));
      const closed = match[3] !== undefined;
      thinking(`Thinking, ${match[2].trim().length} characters${closed ? "" : ", never closed"}`, match[2].trim());
      if (closed && match[3].trim()) box.append(make("pre", "", match[3].trim()));
    } else box.append(make("pre", "", words.trim() || "(empty)"));
    return box;
  };

  const draw = () => {
    const { questions: q, a, b, images } = data;
    count.textContent = String(list.length);
    numberInput.max = String(Math.max(1, list.length));
    numberInput.value = String(list.length ? current + 1 : 0);
    card.replaceChildren();
    if (row === null) {
      notice.textContent = "No sample is like this.";
      link.hidden = true;
      return;
    }
    notice.textContent = list[current] === row ? "" : "This sample is not in the filtered list.";
    link.hidden = false;
    link.href = fragment();
    const asked = make("div", "asked");
    const pictures = make("div", "pictures");
    for (const number of q.images[row]) {
      if (images[number]) {
        const image = make("img");
        image.alt = "What the model was shown";
        image.src = `data:image/webp;base64,${images[number]}`;
        pictures.append(image);
      } else pictures.append(make("span", "note", "[image left out]"));
    }
    const words = make("div", "words");
    const [, ability, leaf] = q.places[q.place[row]];
    words.append(make("p", "where", `${q.id[row]} · ${ability.replaceAll("_", " ")} · ${leaf.replaceAll("_", " ")}`));
    if (q.hint[row]) words.append(make("p", "question note", q.hint[row]));
    words.append(make("p", "question", q.question[row]));
    if (q.options[row].length) {
      const options = make("ul", "options");
      for (const [letter, option] of q.options[row]) {
        const gold = letter === q.target[row];
        options.append(make("li", gold ? "gold" : "", `${letter}. ${option}${gold ? " ✓" : ""}`));
      }
      words.append(options);
    } else words.append(make("p", "gold", `Right answer: ${q.target[row]}`));
    asked.append(pictures, words);
    card.append(asked);

    const copies = q.group.flatMap((group, n) => (group === q.group[row] ? [n] : []));
    if (copies.length > 1) {
      const box = make("div", "copies");
      const rows = copies.every((n) => q.roll[n] === 0); // a pair, or the questions on one figure
      box.append(make("span", "", rows ? "Rows of this group:" : "Copies of this question:"));
      for (const n of copies) {
        const number = rows ? copies.indexOf(n) + 1 : q.roll[n] + 1;
        const button = make("button", "", `${number} ${[a, b].map((run) => (isRight(run, n) ? "✓" : answered(run, n) ? "✗" : "–")).join("")}`);
        button.type = "button";
        button.setAttribute("aria-label", `${rows ? "Row" : "Copy"} ${number}: A ${isRight(a, n) ? "right" : "not right"}, B ${isRight(b, n) ? "right" : "not right"}`);
        if (n === row) button.setAttribute("aria-current", "true");
        button.addEventListener("click", () => { row = n; if (list.includes(n)) current = list.indexOf(n); draw(); });
        box.append(button);
      }
      card.append(box);
    }
    const replies = make("div", "replies");
    replies.append(reply("A", a, Number(runA.value), b));
    if (runA.value !== runB.value) replies.append(reply("B", b, Number(runB.value), a));
    card.append(replies);
  };

  const go = (position) => {
    if (!list.length) { row = null; draw(); return; }
    current = Math.min(Math.max(0, position), list.length - 1);
    row = list[current];
    draw();
  };

  // A link names the sample, the task and both runs: #sample=12&task=scenes&a=tiny-base&b=tiny-mix
  const fragment = () => "#" + new URLSearchParams({
    sample: data.questions.id[row], task: index.tasks[Number(task.value)].name,
    a: index.runs[Number(runA.value)], b: index.runs[Number(runB.value)],
  });
  const follow = async () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!wanted.has("sample")) return false;
    const t = index.tasks.findIndex((entry) => entry.name === wanted.get("task"));
    if (t < 0) return false;
    task.value = String(t);
    runs();
    for (const [select, name] of [[runA, "a"], [runB, "b"]]) {
      const number = index.runs.indexOf(wanted.get(name));
      if (number >= 0 && index.tasks[t].runs[number]) select.value = String(number);
    }
    show.value = "all";
    text.value = "";
    await load();
    place.value = "";
    filter();
    const sampleIndex = data.questions.id.indexOf(wanted.get("sample"));
    go(Math.max(0, sampleIndex));
    if (sampleIndex < 0) notice.textContent = "The sample of the link is not in this file.";
    get("samples").scrollIntoView();
    return true;
  };
  const runs = () => {
    const available = index.tasks[Number(task.value)].runs;
    const options = index.runs.flatMap((name, number) => (available[number] ? [[String(number), name]] : []));
    fill(runA, options);
    fill(runB, options);
  };
  const again = async () => { await load(); filter(); go(0); };
  const failing = (work) => (...given) => work(...given).catch(() => {
    notice.textContent = "This browser cannot inflate the samples; a newer one can (DecompressionStream).";
  });

  if (!index.tasks.length) { get("browser").hidden = true; return; }
  fill(task, index.tasks.map((entry, number) => [String(number), entry.name]));
  fill(show, CHOICES.map(([name, label]) => [name, label]));
  runs();
  runA.selectedIndex = 0;
  runB.selectedIndex = runB.options.length > 1 ? 1 : 0;
  task.addEventListener("change", failing(async () => { runs(); await again(); }));
  for (const select of [runA, runB]) select.addEventListener("change", failing(async () => {
    const previous = row;
    await load();
    filter();
    if (previous !== null && list.includes(previous)) go(list.indexOf(previous)); else go(0);
  }));
  for (const select of [show, place]) select.addEventListener("change", () => { filter(); go(0); });
  text.addEventListener("input", () => { filter(); go(0); });
  numberInput.addEventListener("change", () => go(Number(numberInput.value) - 1));
  get("s-next").addEventListener("click", () => go(current + 1));
  get("s-previous").addEventListener("click", () => go(current - 1));
  addEventListener("hashchange", failing(follow));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !data) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "j") go(current + 1);
    else if (event.key === "k") go(current - 1);
  });
  failing(async () => { if (!(await follow())) await again(); })();
})();
