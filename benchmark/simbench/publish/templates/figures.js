"use strict";
/* Which figures show a grade. The evidence says: observations are a scatter or strips by group, layers by layers are a
   heat map, a swept variable is a curve, columns are bars; whatever else there is, every answer is a mark on a strip. */
const figures = (() => {
  const { h, saved, csv, fileName } = tools;
  const { board, testOf, partOf, scores, relation, said, sweptBy, along, words } = evidence;
  const MOST_NAMES = 16;

  const withDownloads = ({ svg, name, caption, table, legend = [], folded = "" }) => {
    const button = (kind, type, text) => {
      const node = h("button", { type: "button", className: "quiet", textContent: kind.toUpperCase() });
      node.setAttribute("aria-label", `Save this figure as ${kind.toUpperCase()}: ${name}`);
      node.addEventListener("click", () => saved(`${name}.${kind}`, type, text()));
      return node;
    };
    const keys = legend.map(({ name: title, swatch }) => {
      const key = h("span", { className: "key" }, h("i"), title);
      key.firstChild.style.background = swatch;
      return key;
    });
    const figure = h("figure", { className: "chart" }, h("div", { className: "scroll" }, svg),
      h("figcaption", {}, keys.length ? h("span", { className: "keys" }, keys) : null, caption, " ",
        h("span", { className: "downloads" }, button("svg", "image/svg+xml", () => new XMLSerializer().serializeToString(svg)), " ",
          button("csv", "text/csv", () => csv(table)))));
    return folded ? h("details", { className: "more" }, h("summary", {}, folded), figure) : figure;
  };

  const heatMap = (row, column, panels, chosen) => {
    const panel = panels.find((candidate) => candidate.name === chosen) || panels[0];
    const svg = charts.heatMap({
      ...panel, panels: panel.pairs, lowerIsSimilar: !row.declaration.higher_is_more_similar,
      rowLabel: panel.of_models ? "from model" : "from layer i", columnLabel: panel.of_models ? "to model" : "to layer j",
      label: `Scores of ${row.metric} on ${column.id}, ${panel.name}`,
    });
    const bad = panel.cells.filter((cell) => cell.marked).length;
    const many = panel.pairs > 1 ? `, and in how many of the ${panel.pairs} maps` : "";
    const broken = bad ? `✗ marks the ${bad} ${bad === 1 ? "entry that breaks" : "entries that break"} the rule${many}.` : "No entry breaks the rule.";
    return {
      svg, name: fileName(board.suite, column.id, row.metric), caption: `${panel.name[0].toUpperCase()}${panel.name.slice(1)}. The colours span the scores of this map. ${broken}`,
      table: [["from", "to", "score", "breaks_rule_in", "of"], ...panel.cells.map((cell) => [cell.row, cell.column, cell.value, cell.marked, panel.pairs])],
    };
  };

  const outcome = (answer) => (answer.held === null ? "" : answer.held ? " (held)" : " (did not hold)");
  const answered = (asked) => [
    ["where", "models", "column", "line", "at", "margin", "credit", "held"],
    ...asked.map((answer) => [answer.where, answer.models.join(" + "), answer.name, answer.line, answer.at, answer.margin, answer.credit, answer.held]),
  ];

  /* What differs in its unit is drawn apart: answer figure, or pair of figures, per column. */
  const perName = (asked, draw) => [...new Set(asked.map((answer) => answer.name))].flatMap((name, _, names) => draw(asked.filter((answer) => answer.name === name), names.length > 1 ? name : null));
  const titled = (name, caption) => (name === null ? caption : `${words(name)}: ${caption[0].toLowerCase()}${caption.slice(1)}`);

  /* Scores against the variable where they say where they lie on it, and the margins, which have it always. */
  const curves = (row, column, swept, domain, part) => {
    const name = fileName(board.suite, column.id, ...(part === null ? [] : [part]), row.metric);
    const levels = [...new Set(swept.map((answer) => answer.at))].sort((a, b) => a - b);
    const variable = words(sweptBy(column, levels) || "swept variable");
    const raw = along(scores(row.metric, testOf(column)), levels);
    const common = { xLabel: variable, levels };
    const [lines, pairs] = ["line", "series"].map((key) => new Set(raw.map((point) => point[key])).size);
    const direction = row.declaration.higher_is_more_similar ? "higher: more similar" : "lower: more similar";
    const ofScores = raw.length === 0 ? null : {
      ...charts.curve({ ...common, points: raw.map((point) => ({ ...point, y: point.value, bad: point.marked, said: `${point.where}: ${point.value}` })), yLabel: `score (${direction})`, label: `Scores of ${row.metric} on ${column.id}` }),
      name, caption: titled(part, `Scores, a line per seed (${lines} lines, ${pairs} ${pairs === 1 ? "kind" : "kinds"} of pairs).${raw.some((point) => point.marked) ? " ✗ broke the rule." : ""}`),
      table: [["comparison", "pair", variable, "score", "breaks_rule"], ...raw.map((point) => [point.where, point.series, point.at, point.value, point.marked])],
    };
    const ofMargins = {
      ...charts.curve({ ...common, domain, zero: true, points: swept.map((answer) => ({ at: answer.at, y: answer.margin, series: answer.line, line: answer.line, bad: answer.held === false, said: `${answer.where}: ${charts.number(answer.margin)}${outcome(answer)}` })), yLabel: "margin (above 0: held)", label: `Margins of ${row.metric} on ${column.id}` }),
      name: `${name}-margins`, caption: titled(part, "By how far each question held; ✗ did not hold."), table: answered(swept),
      folded: ofScores ? "Margins: by how far each question held" : "",
    };
    return [ofScores, ofMargins];
  };

  /* Observations: against what they are held, or in strips where that is a group and no number. */
  const observed = (row, column, points, part) => {
    const name = fileName(board.suite, column.id, ...(part === null ? [] : [part]), row.metric);
    const sign = row.declaration.higher_is_more_similar ? 1 : -1;
    const dots = points.map((point) => ({ ...point, x: sign * point.margin, said: `${point.where}: ${charts.number(sign * point.margin)}${point.at === null ? "" : ` at ${charts.number(point.at)}`}` }));
    const table = [["where", "models", "column", "group", "at", "score"], ...dots.map((dot) => [dot.where, dot.models.join(" + "), dot.name, dot.line, dot.at, dot.x])];
    const label = `Scores of ${row.metric} on ${column.id}`;
    const yLabel = `score (${row.declaration.higher_is_more_similar ? "higher" : "lower"}: more similar)`;
    if (isNumber(points)) {
      const variable = part ?? partOf(column) ?? "reference variable";
      return [{ ...charts.scatter({ points: dots.map((dot) => ({ ...dot, x: dot.at, y: dot.x, series: dot.line })), xLabel: words(variable), yLabel, label }), name, table, caption: "One dot per pair: its score against what was measured of its models." }];
    }
    const named = dots.map((dot) => ({ ...dot, held: null, name: words([dot.name, dot.line || (dot.at === null ? "" : `at ${dot.at}`)].filter(Boolean).join(": ") || "all") }));
    return [{ svg: charts.strip({ dots: named, xLabel: yLabel, label }), name, table, caption: "One dot per pair, by group; strokes: medians." }];
  };
  const isNumber = (points) => new Set(points.map((point) => point.at)).size > 2 && points.every((point) => point.at !== null);

  /* A bar per column of the test, else per set of models. */
  const barsOf = (row, column) => {
    const parts = board.columns.filter((part) => part.parent === column.id && row.tests[part.id].status !== "skip");
    if (parts.length) {
      return parts.map((part) => {
        const cell = row.tests[part.id];
        const [low, high] = cell.interval || [null, null];
        return { name: words(partOf(part)), grade: cell.grade, low, high, held: cell.passed, status: cell.status };
      });
    }
    return row.tests[column.id].tallies.map(([models, credit, asked]) => ({ name: models.join(" + "), grade: credit / asked, low: null, high: null, held: credit === asked, status: "ok" }));
  };

  const bars = (row, column) => {
    const rows = barsOf(row, column);
    if (!rows.length || rows.length > MOST_NAMES) return null;
    const uncertain = rows.some((bar) => bar.low !== null);
    return {
      svg: charts.bars({ bars: rows, pass: column.threshold, label: `Grades of ${row.metric} on ${column.id}` }),
      name: `${fileName(board.suite, column.id, row.metric)}-grades`,
      caption: `Bars: grades${uncertain ? "; thin lines: 95 % intervals" : ""}; dashed: needed to pass.`,
      table: [["name", "grade", "low", "high"], ...rows.map((bar) => [bar.name, bar.grade, bar.low, bar.high])],
    };
  };

  const strips = (row, column, asked) => {
    const partial = asked.some((answer) => answer.credit !== null);
    const placed = asked.map((answer) => ({ ...answer, x: partial ? answer.credit ?? Number(answer.held) : answer.margin })).filter((answer) => answer.x !== null);
    if (!placed.length) return null;
    const names = new Set(placed.map((answer) => answer.name || answer.models.join(" + ")));
    const dots = placed.map((answer) => ({ ...answer, name: words(names.size > MOST_NAMES ? "all" : answer.name || answer.models.join(" + ")), said: `${answer.where}: ${charts.number(answer.x)}${outcome(answer)}` }));
    return {
      svg: charts.strip({ dots, zero: partial ? null : 0, domain: partial ? [0, 1] : undefined, xLabel: partial ? "credit (1: all right)" : "margin (right of 0: held)", label: `Answers of ${row.metric} on ${column.id}`, skewed: !partial }),
      name: `${fileName(board.suite, column.id, row.metric)}-margins`, caption: `One mark per question: ${partial ? "what it earned" : "by how far it held"} (dot) or not (✗).`, table: answered(asked),
    };
  };

  /* The raw scores by what was compared, for tests that have neither columns nor maps: groups, pairs, controls. */
  const byRelation = (row, column) => {
    const scored = scores(row.metric, testOf(column)).filter((score) => score.value !== null);
    const dots = scored.map((score) => ({ name: relation(score.a, score.b), x: score.value, held: score.marked ? false : null, where: said(score), said: `${said(score)}: ${score.value}` }));
    const names = new Set(dots.map((dot) => dot.name));
    if (names.size < 2 || names.size > MOST_NAMES) return null;
    return {
      svg: charts.strip({ dots, xLabel: `score (${row.declaration.higher_is_more_similar ? "higher" : "lower"}: more similar)`, label: `Scores of ${row.metric} on ${column.id}` }),
      name: `${fileName(board.suite, column.id, row.metric)}-scores`, caption: "One dot per score, by what was compared; strokes: medians; ✗ broke the rule.",
      table: [["comparison", "pair", "score", "breaks_rule"], ...dots.map((dot) => [dot.where, dot.name, dot.x, dot.held === false])],
    };
  };

  const hasParts = (column) => board.columns.some((other) => other.parent === testOf(column));
  const mapsOf = (metric, column, asked) => (asked.some((answer) => answer.held === null) ? [] : evidence.mapsOf(metric, testOf(column)));

  const chosen = (row, column, asked, pair, domain) => {
    const points = asked.filter((answer) => answer.held === null && answer.margin !== null);
    if (points.length) {
      // Groups share an axis, reference variables do not.
      const drawn = isNumber(points) ? perName(points, (some, part) => observed(row, column, some, part)) : observed(row, column, points, null);
      return [...drawn, hasParts(column) && partOf(column) === null ? bars(row, column) : null];
    }
    const panels = mapsOf(row.metric, column, asked);
    if (panels.length) return [heatMap(row, column, panels, pair)];
    const swept = asked.filter((answer) => answer.at !== null && answer.margin !== null);
    if (swept.length) return perName(swept, (some, part) => curves(row, column, some, domain, part));
    return [bars(row, column), strips(row, column, asked), hasParts(column) ? null : byRelation(row, column)];
  };

  /* The figures of one metric on one test, as nodes. */
  const of = (...asked) => chosen(...asked).filter(Boolean).map(withDownloads);
  return { of, mapsOf };
})();
