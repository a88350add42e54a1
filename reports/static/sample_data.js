"use strict";
// What can be asked of the questions of a task and the replies of two runs: which pass a filter, and their order.
const sampleData = (() => {
  const UNREAD = "nixr";

  // `parts` has the questions, the replies a and b, and the images; `by` is the aggregation that is counted.
  const of = (parts, by) => {
    const { questions, a, b } = parts;
    const rowsOf = (group) => {
      const first = questions.start[group];
      const end = questions.start[group + 1] ?? questions.id.length;
      return Array.from({ length: end - first }, (_, offset) => first + offset);
    };
    const score = (run, group) => run.scores[by][group];
    const change = (group) => {
      const [before, after] = [score(a, group), score(b, group)];
      return before === null || after === null ? 0 : after - before;
    };
    const textOf = (row) => {
      const [question, hint, options] = questions.texts[row];
      const replies = [a, b].map((run) => `${run.text[row] ?? ""} ${run.reasoning[row] ?? ""}`);
      return `${questions.id[row]} ${question} ${hint} ${options.flat().join(" ")} ${replies.join(" ")}`.toLowerCase();
    };
    return {
      ...parts,
      by,
      rowsOf,
      score,
      change,
      isRight: (run, group) => score(run, group) === 1,
      isWrong: (run, group) => score(run, group) !== null && score(run, group) < 1,
      any: (run, group, letters) => rowsOf(group).some((row) => letters.includes(run.status[row])),
      matches: (row, words) => words.every((word) => textOf(row).includes(word)),
      // Whether any question is neither right nor wrong, as where the shares of copies are counted.
      graded: [a, b].some((run) => run.scores[by].some((value) => value !== null && value !== 0 && value !== 1)),
    };
  };

  // Name, label, and whether a question of the data is shown.
  const CHOICES = [
    ["all", "All", () => true],
    ["flipped", "Flipped, either way", (data, group) => data.change(group) !== 0],
    ["gained", "Gained: A wrong, B right", (data, group) => data.change(group) > 0],
    ["lost", "Lost: A right, B wrong", (data, group) => data.change(group) < 0],
    ["a-right", "A is right", (data, group) => data.isRight(data.a, group)],
    ["a-wrong", "A is wrong", (data, group) => data.isWrong(data.a, group)],
    ["a-unread", "A has an unread reply", (data, group) => data.any(data.a, group, UNREAD)],
    ["b-right", "B is right", (data, group) => data.isRight(data.b, group)],
    ["b-wrong", "B is wrong", (data, group) => data.isWrong(data.b, group)],
    ["b-unread", "B has an unread reply", (data, group) => data.any(data.b, group, UNREAD)],
    ["failed", "A request failed", (data, group) => data.any(data.a, group, "e") || data.any(data.b, group, "e")],
    ["no-content", "Reasoning, no reply", (data, group) => data.any(data.a, group, "c") || data.any(data.b, group, "c")],
  ];
  const GRADED = { gained: "Gained: B has more right than A", lost: "Lost: B has less right than A" };
  const labels = (data) => CHOICES.map(([name, label]) => [name, (data?.graded && GRADED[name]) || label]);

  // How much the copies of a question differ: between the runs first, then within a run.
  const disagreement = (data, group) => {
    const rows = data.rowsOf(group);
    const split = ({ value }) => {
      const right = rows.filter((row) => value[row] === 1).length;
      return Math.min(right, rows.length - right);
    };
    const [one, two] = [data.a.value, data.b.value];
    const differ = rows.filter((row) => one[row] !== null && two[row] !== null && one[row] !== two[row]);
    return 100 * differ.length + split(data.a) + split(data.b);
  };
  // Name, label, and the number (or text) by which questions are sorted, the lowest first.
  const SORTS = [
    ["order", "As in the benchmark", () => (group) => group],
    ["id", "By id", ({ questions }) => (group) => questions.group[group]],
    ["ability", "By ability", ({ questions }) => {
      const ranks = new Map(questions.categories.map(([level, name], rank) => [`${level}:${name}`, rank]));
      return (group) => {
        const [, ability, leaf] = questions.places[questions.place[group]];
        return 10_000 * ranks.get(`l2:${ability}`) + ranks.get(`l3:${leaf}`);
      };
    }],
    ["disagreement", "Most copies that differ", (data) => (group) => -disagreement(data, group)],
  ];

  // The questions that pass, in order. `wanted` has show, level, category, words and sort.
  const listed = (data, wanted) => {
    const { questions } = data;
    const test = CHOICES.find(([name]) => name === wanted.show)[2];
    const level = ["l1", "l2", "l3"].indexOf(wanted.level);
    const groups = questions.group.map((_, group) => group).filter((group) =>
      test(data, group)
      && (level < 0 || questions.places[questions.place[group]][level] === wanted.category)
      && (!wanted.words.length || data.rowsOf(group).some((row) => data.matches(row, wanted.words))));
    const key = SORTS.find(([name]) => name === wanted.sort)[2](data);
    const keys = new Map(groups.map((group) => [group, key(group)]));
    const compare = (one, two) => (typeof one === "number" ? one - two : one.localeCompare(two, "en", { numeric: true }));
    return groups.sort((one, two) => compare(keys.get(one), keys.get(two)) || one - two);
  };

  // The copy of a question that shows why it is listed.
  const tellingRow = (data, { show, words }, group) => {
    const { a, b } = data;
    const rows = data.rowsOf(group);
    const first = (test) => rows.find(test) ?? rows[0];
    if (words.length) return first((row) => data.matches(row, words));
    const sign = { flipped: Math.sign(data.change(group)), gained: 1, lost: -1 }[show];
    if (sign) return first((row) => sign * ((b.value[row] ?? 0) - (a.value[row] ?? 0)) > 0);
    const run = show.startsWith("b-") ? b : a;
    if (show.endsWith("-wrong")) return first((row) => run.value[row] !== null && run.value[row] < 1);
    if (show.endsWith("-unread")) return first((row) => UNREAD.includes(run.status[row]));
    const letter = { failed: "e", "no-content": "c" }[show];
    return letter ? first((row) => a.status[row] === letter || b.status[row] === letter) : rows[0];
  };

  return { of, labels, listed, tellingRow, SORTS };
})();
