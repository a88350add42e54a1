"use strict";
// Draws a question of the sample browser: what was asked, its copies, and the replies of two runs.
const sampleCard = (() => {
  const make = (tag, name, content) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (content !== undefined) element.textContent = content;
    return element;
  };
  const UNSCORED = "-ec";
  const answered = (run, row) => !UNSCORED.includes(run.status[row]);
  const mark = (run, row) => (answered(run, row) ? (run.value[row] === 1 ? "✓" : "✗") : "–");
  const tone = (run, row) => ({ "✓": "right-answer", "✗": "wrong-answer", "–": "no-answer" })[mark(run, row)];
  const scoreText = (score) => (score === null ? "not scored" : score === 1 ? "right" : score === 0 ? "wrong" : `${(100 * score).toFixed(0)}% right`);
  const scoreTone = (score) => (score === null ? "no-answer" : score === 1 ? "right-answer" : "wrong-answer");

  const picture = (view, number, label, large) => {
    const data = view.data.images[number];
    if (!data) return make("span", "note", "[image left out]");
    const image = make("img");
    image.alt = label;
    image.src = `data:image/webp;base64,${data}`;
    if (!large) return image;
    const button = make("button", "picture");
    button.type = "button";
    button.setAttribute("aria-label", `${label}: show it large`);
    image.alt = "";
    button.append(image);
    button.addEventListener("click", () => view.enlarge(image.src, label));
    return button;
  };

  // The pieces of a jigsaw in the order of an answer such as "3,1,4,2"; null if the answer does not name each once.
  const order = (answer, n) => {
    const pieces = (answer ?? "").split(",").map(Number);
    return [...pieces].sort((one, two) => one - two).every((piece, position) => piece === position + 1) && pieces.length === n ? pieces : null;
  };
  const mosaic = (view, pieces, label) => {
    const numbers = view.data.questions.images[view.row];
    const figure = make("figure", "mosaic");
    const grid = make("div", `grid grid-${view.task.columns}`);
    grid.setAttribute("role", "img");
    grid.setAttribute("aria-label", `${label}: pieces ${pieces.join(", ")}`);
    for (const piece of pieces) {
      const cell = make("span", "piece");
      cell.append(picture(view, numbers[piece - 1], "", false), make("span", "badge", String(piece)));
      grid.append(cell);
    }
    figure.append(grid, make("figcaption", "", label));
    return figure;
  };

  const pictures = (view) => {
    const numbers = view.data.questions.images[view.row];
    const box = make("div", "pictures");
    if (view.task.probe === "jigsaw") {
      const figure = make("figure", "mosaic");
      const grid = make("div", `grid grid-${view.task.columns}`);
      numbers.forEach((number, position) => {
        const cell = make("span", "piece");
        cell.append(picture(view, number, `Piece ${position + 1}`, true), make("span", "badge", String(position + 1)));
        grid.append(cell);
      });
      figure.append(grid, make("figcaption", "", "The pieces as numbered in the prompt"));
      box.append(figure);
      const right = order(view.data.questions.target[view.row], numbers.length);
      if (right) box.append(mosaic(view, right, `Right: ${right.join(", ")}`));
      return box;
    }
    numbers.forEach((number, position) => {
      const figure = make("figure");
      const label = numbers.length > 1 ? `Image ${position + 1} of ${numbers.length}` : "The image";
      figure.append(picture(view, number, label, true));
      if (numbers.length > 1) figure.append(make("figcaption", "", `Image ${position + 1}`));
      box.append(figure);
    });
    return box;
  };

  const chip = (letter, run, row) => {
    const good = mark(run, row) === "✓";
    return make("span", `given ${good ? "right-answer" : "wrong-answer"}`, `${letter} ${good ? "✓" : "✗"}`);
  };

  const prompt = (view, messages) => {
    const box = make("details", "prompt");
    box.append(make("summary", "", "The prompt as sent"));
    let image = 0;
    for (const [role, parts] of messages) {
      if (messages.length > 1 || role !== "user") box.append(make("p", "note", role));
      let marks = null; // the line of images that follow each other
      for (const part of parts) {
        if (typeof part === "string") {
          box.append(make("pre", "", part));
          marks = null;
          continue;
        }
        if (!marks) box.append(marks = make("p", "note"));
        for (let n = 0; n < part; n++) marks.append(`[image ${(image += 1)}] `);
      }
    }
    box.append(make("p", "note", `As ${view.runs[0]} was asked, before the chat template of the model.`));
    box.open = view.promptOpen();
    box.addEventListener("toggle", () => view.promptOpen(box.open));
    return box;
  };

  const words = (view) => {
    const { questions: q, a, b } = view.data;
    const { row } = view;
    const [question, hint, options, messages] = q.texts[row];
    const box = make("div", "words");
    if (hint) box.append(make("p", "question note", hint));
    box.append(make("p", "question", question));
    const replies = view.pair ? [["A", a], ["B", b]] : [["A", a]];
    if (options.length) {
      const list = make("ul", "options");
      for (const [letter, option] of options) {
        const gold = letter === q.target[row];
        const item = make("li", gold ? "gold" : "", `${letter}. ${option}`);
        if (gold) item.append(" ", make("span", "target", "right answer"));
        for (const [name, run] of replies) {
          if (run.answer[row] === letter) item.append(" ", chip(name, run, row));
        }
        list.append(item);
      }
      box.append(list);
    } else {
      box.append(make("p", "gold", `Right answer: ${q.target[row]}`));
    }
    if (messages.length) box.append(prompt(view, messages));
    return box;
  };

  const copies = (view) => {
    const { questions: q, a, b } = view.data;
    const rows = view.rows;
    const box = make("div", "copies");
    if (rows.length < 2) return box;
    const plain = view.task.units[1] !== "copies";
    const noun = { copies: "Copy", rows: "Row", samples: "Sample" }[view.task.units[1]] ?? "Row";
    const right = (run) => rows.filter((row) => run.value[row] === 1).length;
    const counts = [`A ${right(a)}`, ...(view.pair ? [`B ${right(b)}`] : [])].join(", ");
    box.append(make("span", "copies-title", `Its ${rows.length} ${view.task.units[1]} (right: ${counts})`));
    const group = make("span", "tabs");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `${noun} to show`);
    rows.forEach((row, position) => {
      const number = plain ? position + 1 : q.roll[row] + 1;
      const button = make("button", "", `${number} `);
      button.type = "button";
      const spoken = [];
      for (const [letter, run] of view.pair ? [["A", a], ["B", b]] : [["A", a]]) {
        button.append(make("span", tone(run, row), mark(run, row)));
        spoken.push(`${letter} ${{ "✓": "right", "✗": "wrong", "–": "not scored" }[mark(run, row)]}`);
      }
      button.setAttribute("aria-label", `${noun} ${number}: ${spoken.join(", ")}`);
      if (row === view.row) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => view.choose(row));
      group.append(button);
    });
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = step && rows[rows.indexOf(view.row) + step];
      if (next === undefined || !step) return;
      event.preventDefault();
      view.choose(next);
    });
    box.append(group);
    return box;
  };

  const fold = (label, text) => {
    const box = make("details", "thought");
    box.append(make("summary", "", label), make("pre", "", text));
    return box;
  };

  const reply = (view, letter, run, other, number) => {
    const { row } = view;
    const box = make("div", "reply");
    const title = make("h3", "", `${letter} · ${view.names[number]}`);
    title.title = view.fullNames[number];
    box.append(title);
    const state = run.status[row];
    const line = make("p", "verdict-line");
    if (UNSCORED.includes(state)) line.append(view.readAs[state]);
    else {
      const value = run.value[row];
      const good = value === 1;
      line.append(make("span", good ? "right-answer" : "wrong-answer",
        good ? "✓ Right" : value ? `Partly right (${(100 * value).toFixed(0)}%)` : "✗ Wrong"));
      line.append(run.answer[row] === null ? `: ${view.readAs[state]}` : `: ${run.answer[row]}, read ${view.readAs[state]}`);
      if (good !== (other.value[row] === 1) && answered(other, row)) line.append(" · flipped");
    }
    box.append(line);
    const pieces = view.task.probe === "jigsaw" && order(run.answer[row], view.data.questions.images[row].length);
    if (view.task.probe === "jigsaw" && !pieces && run.answer[row] !== null) line.append(" · does not name each piece once");
    if (pieces) box.append(mosaic(view, pieces, `As ${letter} puts them: ${pieces.join(", ")}`));
    const text = run.text[row];
    if (text === null) return box;
    const apart = run.reasoning[row];
    if (apart !== undefined) box.append(fold(`Reasoning, ${apart.trim().length} characters`, apart.trim()));
    const match = /^([^]*?)<think>([^]*?)(?:<\/think>([^]*)|$)/i.exec(text);
    if (!match) {
      box.append(make("pre", "", text.trim() || "(empty)"));
      return box;
    }
    const [, before, thought, after] = match;
    if (before.trim()) box.append(make("pre", "", before.trim()));
    const closed = after === undefined ? ", never closed" : "";
    box.append(fold(`Thinking, ${thought.trim().length} characters${closed}`, thought.trim()));
    if (after?.trim()) box.append(make("pre", "", after.trim()));
    return box;
  };

  const head = (view) => {
    const { questions: q, a, b } = view.data;
    const box = make("header", "card-head");
    box.append(make("p", "where", [q.group[view.group], ...view.titles].join(" · ")));
    const states = make("p", "states");
    for (const [letter, run] of view.pair ? [["A", a], ["B", b]] : [["A", a]]) {
      const score = run.scores[view.by][view.group];
      states.append(make("span", `state ${scoreTone(score)}`, `${letter} ${scoreText(score)}`), " ");
    }
    box.append(states);
    return box;
  };

  // `view` has: data, task, runs, readAs, group, row, rows, by, pair, names, fullNames, titles, and the functions choose,
  // enlarge and promptOpen.
  const draw = (view) => {
    const { a, b } = view.data;
    const asked = make("div", "asked");
    asked.append(pictures(view), words(view));
    const replies = make("div", "replies");
    replies.append(reply(view, "A", a, b, 0));
    if (view.pair) replies.append(reply(view, "B", b, a, 1));
    return [head(view), asked, copies(view), replies];
  };

  return { make, mark, tone, answered, scoreText, scoreTone, draw };
})();
