"use strict";
/* What stands behind a grade, as plain data: the scores, the answers, and how the scores lie beside each other. */
const evidence = (() => {
  const read = (element) => JSON.parse(element.textContent);
  const board = read(document.getElementById("board"));
  const representations = read(document.getElementById("representations"));
  const columnOf = new Map(board.columns.map((column) => [column.id, column]));
  const testOf = (column) => column.parent || column.id;
  const partOf = (column) => (column.parent ? column.id.slice(column.parent.length + 1) : null);

  // Parsed when a cell of its test is first opened: a page of 60 tests loads as fast as one of 5.
  const parsed = new Map();
  const blockOf = (metric, test) => {
    if (!parsed.has(test)) {
      const blocks = [...document.querySelectorAll("script.evidence")].filter((element) => element.dataset.test === test);
      parsed.set(test, blocks.map(read));
    }
    const block = parsed.get(test).find((candidate) => Object.hasOwn(candidate.metrics, metric));
    return block && { block, mine: block.metrics[metric] };
  };

  /* {a, b, value, status, reason, warning, marked, auxiliary}; a and b are [model, layer, change]. */
  const scores = (metric, test) => {
    const asked = blockOf(metric, test);
    if (!asked) return [];
    const marked = new Set(asked.mine.marked);
    return asked.block.comparisons.map(([a, b], index) => {
      const [status, reason] = asked.mine.problems[index] || ["ok", ""];
      return {
        a: representations[a], b: representations[b], value: asked.mine.values[index], status, reason,
        warning: asked.mine.warnings[index] || "", marked: marked.has(index),
        auxiliary: Object.entries(asked.mine.auxiliary).flatMap(([name, values]) => (values[index] === null ? [] : [[name, values[index]]])),
      };
    });
  };

  /* {where, models, name, at, line, margin, credit, held}; held is null for an observation, which is no yes or no. */
  const answers = (metric, test, part) => {
    const asked = blockOf(metric, test);
    if (!asked) return [];
    const { where, models, columns, at, lines } = asked.block.questions, { held: letters, margins, credits } = asked.mine;
    return where
      .map((text, i) => ({
        where: text, models: models[i], name: columns[i], at: at[i], line: lines[i], margin: margins[i],
        credit: credits.length ? credits[i] : null,
        // What is more or less right is drawn as wrong where half of the credit or more is lost.
        held: credits.length && credits[i] !== null ? credits[i] > 0.5 : { 1: true, 0: false }[letters[i]] ?? null, asked: letters[i] !== "-",
      }))
      .filter((answer) => answer.asked && (part === null || answer.name === part));
  };

  /* "group(key=value, …)/seed" (or "group/member") in its parts; any other name is a group of its own. */
  const partsOf = (model) => {
    const [, group, inside, seed] = /^([^(]*)(?:\((.*)\))?\/([^/]+)$/.exec(model) || [null, model, "", ""];
    const pairs = (inside || "").split(/, (?=\w+=)/).filter(Boolean).map((pair) => [pair.split("=")[0], pair.slice(pair.indexOf("=") + 1)]);
    return { group, seed, settings: new Map(pairs) };
  };
  const words = (text) => text.replaceAll("_", " ");

  /* What b is to a, in words: "itself", "another seed", "permuted=True", "noise(sigma=0.1)", "cnn → mlp". */
  const relation = (a, b, without = []) => {
    const [first, second] = [partsOf(a[0]), partsOf(b[0])];
    const clean = (change) => without.reduce((text, key) => text.replace(new RegExp(`\\b${key}=[^,)]*(, )?`), "").replace(/(, )?\(?\)$/, ""), change);
    const [from, to] = [clean(a[2]), clean(b[2])];
    const keys = [...new Set([...first.settings.keys(), ...second.settings.keys()])].filter((key) => !without.includes(key));
    const differing = keys.filter((key) => first.settings.get(key) !== second.settings.get(key));
    const said = [
      first.group === second.group ? "" : `${first.group} → ${second.group}`,
      first.group === second.group ? differing.map((key) => `${key}=${second.settings.get(key) ?? "–"}`).join(", ") : "",
      first.group === second.group && first.seed !== second.seed ? (/^-?\d+$/.test(first.seed) ? "another seed" : "another member") : "",
      a[1] === b[1] ? "" : `${a[1]} → ${b[1]}`,
      from === to ? (to ? `both ${to}` : "") : from && to ? `${from} → ${to}` : from || to,
    ];
    return words(said.filter(Boolean).join(", ") || "itself");
  };

  /* What a test sweeps: a setting that lists the values. */
  const sweptBy = (column, levels) => {
    const same = (values) => values.length === levels.length && levels.every((level) => values.includes(level));
    const setting = Object.entries(columnOf.get(testOf(column)).settings).find(([, value]) => Array.isArray(value) && same(value));
    return setting ? setting[0] : null;
  };

  const parameters = (score) => [...score.a, ...score.b].flatMap((text) => [...text.matchAll(/\b(\w+)=([-+.\deE]+)(?=[,)])/g)].map(([, key, value]) => [key, Number(value)]));

  /* The raw scores along a swept variable, {at, value, series, line, where, marked}: those of whose models or transforms
     one parameter takes the values. [] where none does. */
  const along = (scored, levels) => {
    const taken = new Map();
    for (const score of scored) for (const [key, value] of parameters(score)) if (levels.includes(value)) taken.set(key, (taken.get(key) || new Set()).add(value));
    const [key, values] = [...taken].sort((a, b) => b[1].size - a[1].size)[0] || [null, new Set()];
    if (values.size < 2 || values.size < levels.length / 2) return [];
    const without = new RegExp(`\\b${key}=[-+.\\deE]+(, )?`, "g");
    return scored.flatMap((score) => {
      const place = parameters(score).find(([name, value]) => name === key && levels.includes(value));
      if (!place || score.value === null) return [];
      const line = [score.a, score.b].map((side) => side.join(" ").replace(without, "")).join(" → ");
      return [{ at: place[1], value: score.value, series: relation(score.a, score.b, [key]), line, where: said(score), marked: score.marked }];
    });
  };
  const said = (score) => [score.a, score.b].map((side) => side.join(" ").trim()).join(" → ");

  /* The maps that the comparisons of a test fill, layer × layer or model × model, with the scores of one metric. */
  const mapsOf = (metric, test) => {
    const asked = blockOf(metric, test), all = scores(metric, test);
    return !asked ? [] : asked.block.maps.map((map, index) => ({ ...map, cells: map.entries.map((places, at) => {
      const behind = places.map((place) => all[place]), means = asked.mine.means[index];
      return {
        row: map.rows[Math.floor(at / map.columns.length)], column: map.columns[at % map.columns.length],
        value: means ? means[at] : behind[0]?.value ?? null,
        marked: behind.filter((score) => score.marked).length,
        // What a test does not compare, such as a layer with itself, says so.
        reason: behind.length ? behind[0].reason : "not compared",
      };
    }) }));
  };

  return { board, columnOf, testOf, partOf, scores, answers, relation, said, sweptBy, along, mapsOf, words };
})();
