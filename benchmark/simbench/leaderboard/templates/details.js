"use strict";
/* What is behind a cell: the test in words, the rule, the figures, the scores; one to three metrics side by side. */
const details = (() => {
  const read = (element) => JSON.parse(element.textContent);
  const board = read(document.getElementById("board"));
  const representations = read(document.getElementById("representations"));
  const rowOf = new Map(board.rows.map((row) => [row.metric, row]));
  const columnOf = new Map(board.columns.map((column) => [column.id, column]));
  const dialog = document.getElementById("details");
  const MOST = 3, SCORES_SHOWN = 300;
  let listener = () => {};

  // The text of a node is never parsed as HTML.
  const h = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  };

  // Evidence is parsed when a cell of its test is first opened: a page of 60 tests loads as fast as one of 5.
  const parsed = new Map();
  const evidence = (metric, test) => {
    if (!parsed.has(test)) {
      const blocks = [...document.querySelectorAll("script.evidence")].filter((one) => one.dataset.test === test);
      parsed.set(test, blocks.map(read));
    }
    const block = parsed.get(test).find((one) => Object.hasOwn(one.metrics, metric));
    return block && { block, mine: block.metrics[metric] };
  };

  const scores = (metric, test) => {
    const found = evidence(metric, test);
    if (!found) return [];
    const marked = new Set(found.mine.marked);
    return found.block.comparisons.map(([a, b], index) => {
      const [status, reason] = found.mine.problems[index] || ["ok", ""];
      return {
        a: representations[a], b: representations[b], value: found.mine.values[index], status, reason,
        warning: found.mine.warnings[index] || "", marked: marked.has(index),
      };
    });
  };

  const answers = (metric, test, part) => {
    const found = evidence(metric, test);
    if (!found) return [];
    const { where, models, columns, at, lines } = found.block.questions;
    return where
      .map((one, i) => ({ where: one, models: models[i], name: columns[i], at: at[i], line: lines[i], margin: found.mine.margins[i], held: found.mine.held[i] === "1", asked: found.mine.held[i] !== "-" }))
      .filter((one) => one.asked && (part === null || one.name === part));
  };

  const testOf = (column) => column.parent || column.id;
  const partOf = (column) => (column.parent ? column.id.slice(column.parent.length + 1) : null);
  const stateOf = (cell) => (cell.status !== "ok" ? cell.status : { true: "passed", false: "failed", null: "partly" }[cell.passed]);
  const MARKS = { passed: "✓ passed", failed: "✗ failed", partly: "~ in part", skip: "skipped", error: "error", missing: "missing" };

  /* Layer × layer (or model × model) panels, where a test compares representations as they are. */
  const panelsOf = (found) => {
    if (found.length < 4 || found.some((one) => one.a[2] || one.b[2])) return [];
    const ofModels = new Set(found.flatMap((one) => [one.a[1], one.b[1]])).size === 1;
    const axis = (place) => (ofModels ? place[0] : place[1]);
    const panels = new Map();
    for (const one of found) {
      const name = ofModels ? "all models" : one.a[0] === one.b[0] ? one.a[0] : `${one.a[0]} → ${one.b[0]}`;
      if (!panels.has(name)) panels.set(name, { name, rows: new Set(), columns: new Set(), cells: [] });
      const panel = panels.get(name);
      panel.rows.add(axis(one.a));
      panel.columns.add(axis(one.b));
      panel.cells.push({ row: axis(one.a), column: axis(one.b), value: one.value, marked: Number(one.marked), reason: one.reason });
    }
    const list = [...panels.values()].map((one) => ({ ...one, rows: [...one.rows], columns: [...one.columns], count: 1, ofModels }));
    return list.some((one) => one.rows.length < 2 || one.columns.length < 2) ? [] : [...averages(list), ...list];
  };

  const averages = (list) => {
    const alike = new Map();
    for (const panel of list) {
      const shape = JSON.stringify([panel.rows, panel.columns]);
      alike.set(shape, [...(alike.get(shape) || []), panel]);
    }
    return [...alike.values()].filter((group) => group.length > 1).map((group) => {
      const cells = group[0].cells.map((first) => {
        const same = group.map((panel) => panel.cells.find((one) => one.row === first.row && one.column === first.column));
        const known = same.filter((one) => one && one.value !== null);
        const value = known.length ? known.reduce((sum, one) => sum + one.value, 0) / known.length : null;
        return { ...first, value, marked: same.reduce((sum, one) => sum + (one ? one.marked : 0), 0) };
      });
      const names = [...new Set(group.map((panel) => panel.name.replace(/\/\d+/g, "")))].join(", ");
      return { ...group[0], name: `mean of ${group.length}: ${names}`, cells, count: group.length };
    });
  };

  const saved = (name, type, text) => {
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const fileName = (...parts) => parts.join("-").replace(/[^\w.-]+/g, "_");
  const csv = (lines) => `${lines.map((line) => line.map(quoted).join(",")).join("\n")}\n`;
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    // A text that a spreadsheet would run as a formula is told to be text.
    const safe = typeof value === "string" && /^[=+@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };

  const withDownload = (svg, name, caption) => {
    const save = h("button", { type: "button", className: "quiet", textContent: "SVG" });
    save.setAttribute("aria-label", `Save this figure as SVG: ${name}`);
    save.addEventListener("click", () => saved(`${name}.svg`, "image/svg+xml", new XMLSerializer().serializeToString(svg)));
    return h("figure", { className: "chart" }, h("div", { className: "scroll" }, svg), h("figcaption", {}, caption, " ", save));
  };

  const heatMap = (row, column, panels, chosen) => {
    const panel = panels.find((one) => one.name === chosen) || panels[0];
    const svg = charts.heatMap({
      ...panel, panels: panel.count, lowerIsSimilar: !row.higher_is_more_similar,
      rowLabel: panel.ofModels ? "from model" : "from layer i", columnLabel: panel.ofModels ? "to model" : "to layer j",
      label: `Scores of ${row.metric} on ${column.id}, ${panel.name}`,
    });
    const direction = row.higher_is_more_similar ? "higher" : "lower";
    const count = panel.cells.filter((one) => one.marked).length;
    return withDownload(svg, fileName(board.suite, column.id, row.metric), `${panel.name}. Stronger colour: more similar (${direction} values). ${count ? `✗ marks the ${count} ${count === 1 ? "entry that breaks" : "entries that break"} the rule.` : "No entry breaks the rule."}`);
  };

  const figures = (row, column, asked, chosen, domain) => {
    const found = scores(row.metric, testOf(column));
    const name = fileName(board.suite, column.id, row.metric);
    const swept = asked.filter((one) => one.at !== null && one.margin !== null);
    if (swept.length) {
      const settings = Object.entries(columnOf.get(testOf(column)).settings);
      const levels = [...new Set(swept.map((one) => one.at))];
      const variable = settings.find(([, value]) => Array.isArray(value) && levels.every((one) => value.includes(one)) && value.length === levels.length);
      const { svg, legend } = charts.curve({ points: swept, domain, xLabel: variable ? variable[0] : "swept variable", label: `Margins of ${row.metric} on ${column.id}` });
      const keys = legend.map(({ line, swatch }) => {
        const key = h("span", { className: "key" }, h("i"), line);
        key.firstChild.style.background = swatch;
        return key;
      });
      return [withDownload(svg, name, h("span", {}, ...keys, "✗ did not hold."))];
    }
    const panels = panelsOf(found);
    if (panels.length && partOf(column) === null) return [heatMap(row, column, panels, chosen)];
    const dots = asked.filter((one) => one.margin !== null).map((one) => ({ ...one, name: one.name || one.models.join(" + ") }));
    const rows = barsOf(row, column);
    const bound = /^>=?\s*([\d.]+)$/.exec(column.pass_if.trim());
    return [
      rows.length ? withDownload(charts.bars({ bars: rows, pass: bound ? Number(bound[1]) : null, label: `Grades of ${row.metric} on ${column.id}` }), `${name}-grades`, "Bars: grades; thin lines: 95 % intervals; dashed: needed to pass.") : null,
      dots.length ? withDownload(charts.strip({ dots, label: `Margins of ${row.metric} on ${column.id}` }), `${name}-margins`, "One mark per question: by how far it held (dot) or not (✗).") : null,
    ];
  };

  /* A bar per column of the test, else per set of models. */
  const barsOf = (row, column) => {
    const parts = board.columns.filter((one) => one.parent === column.id && row.tests[one.id].status !== "skip");
    if (parts.length) {
      return parts.map((one) => {
        const cell = row.tests[one.id];
        const [low, high] = cell.interval || [null, null];
        return { name: partOf(one), grade: cell.grade, low, high, held: cell.passed, status: cell.status };
      });
    }
    return row.tests[column.id].tallies.map(([models, held, asked]) => ({ name: models.join(" + "), grade: held / asked, held: held === asked, status: "ok" }));
  };

  const list = (pairs) => h("dl", {}, pairs.filter(([, value]) => value !== "" && value !== null).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  const spoken = (value) => (Array.isArray(value) ? value.join(", ") : value !== null && typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k} ${spoken(v)}`).join(", ") : String(value));
  const words = (name) => name.replaceAll("_", " ");

  const verdict = (cell) => h("p", { className: `outcome ${stateOf(cell)}` },
    h("strong", {}, MARKS[stateOf(cell)]), cell.grade === null ? "" : ` ${cell.grade.toFixed(3)}`,
    cell.interval ? h("span", { className: "soft" }, ` [${cell.interval.map((one) => one.toFixed(2)).join(", ")}]`) : "");

  const beside = (metric, column, state, domain) => {
    const row = rowOf.get(metric), cell = row.tests[column.id];
    const asked = answers(metric, testOf(column), partOf(column));
    const shares = cell.tallies.map(([models, held, total]) => `${models.join(" + ")} ${held}/${total}`);
    const open = h("button", { type: "button", className: "name", title: row.summary, textContent: metric });
    open.addEventListener("click", () => listener({ test: "", metrics: [metric], pair: "" }));
    const worst = cell.offenders.slice(0, 5).map((one) => h("li", {}, one.where, h("span", { className: "soft" }, ` by ${charts.number(one.margin === null ? null : -one.margin)}`)));
    const drawnFigures = cell.status === "ok" || asked.length ? figures(row, column, asked, state.pair, domain) : [];
    const nothing = drawnFigures.filter(Boolean).length ? null : h("p", { className: "nothing" }, cell.reason || "There are no scores to draw.");
    return h("section", { className: "one" },
      h("h3", {}, open), verdict(cell), cell.reason ? h("p", { className: "reason" }, cell.reason) : null,
      nothing || h("div", { className: "charts" }, drawnFigures),
      h("div", { className: "facts" }, list([
        ["comparisons", cell.comparisons ? String(cell.comparisons) : ""],
        ["held, by models", shares.join("; ")],
        ...Object.entries(cell.companions).map(([name, value]) => [words(name), charts.number(value)]),
      ]),
      worst.length ? h("h4", {}, "Furthest from holding") : null, worst.length ? h("ol", {}, worst) : null));
  };

  const paragraphs = (text) => text.replace(/`+/g, "").split(/\n\s*\n/).flatMap((part) => {
    const [first, ...items] = part.split(/(?:^|\n)\s*\* /);
    return [
      first.trim() ? h("p", {}, first.trim().replace(/\s*\n\s*/g, " ")) : null,
      items.length ? h("ul", {}, items.map((item) => h("li", {}, item.replace(/\s*\n\s*/g, " ")))) : null,
    ];
  });

  const inWords = (column) => {
    const test = columnOf.get(testOf(column));
    const [first, ...rest] = paragraphs(test.description || test.about).filter(Boolean);
    const settings = Object.entries(test.settings).map(([name, value]) => [words(name), spoken(value)]);
    return h("div", { className: "words" }, first,
      h("p", {}, h("strong", {}, "Passes if"), ` the grade is ${column.pass_if}.`, partOf(column) ? ` This is its column ${partOf(column)}.` : ""),
      rest.length || settings.length ? h("details", {}, h("summary", {}, "How it is asked, settings, source"), ...rest, list([["kind", test.kind], ...settings])) : null);
  };

  const select = (label, options, value, change) => {
    const node = h("select", {}, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
    node.addEventListener("change", () => change(node.value));
    return h("label", {}, label, " ", node);
  };

  const pickers = (state, column, panelNames) => {
    const tests = board.columns.map((one) => [one.id, one.parent ? `\u00a0\u00a0${partOf(one)}` : one.id]);
    const metrics = board.rows.map((row) => [row.metric, row.metric]);
    const chosen = Array.from({ length: Math.min(MOST, state.metrics.length + 1) }, (_, at) => {
      const others = metrics.filter(([name]) => name === state.metrics[at] || !state.metrics.includes(name));
      const options = at === 0 ? others : [["", at < state.metrics.length ? "– remove –" : "– add –"], ...others];
      return select(at === 0 ? "metric" : "beside", options, state.metrics[at] || "", (name) => {
        const next = [...state.metrics];
        next[at] = name;
        listener({ metrics: next.filter(Boolean) });
      });
    });
    return h("div", { className: "pickers" }, select("test", tests, column.id, (test) => listener({ test })), chosen,
      panelNames.length > 1 ? select("models", panelNames.map((name) => [name, name]), state.pair || panelNames[0], (pair) => listener({ pair })) : null);
  };

  const COLUMNS = ["metric", "test", "a_model", "a_layer", "a_change", "b_model", "b_layer", "b_change", "value", "status", "reason", "warning", "breaks_rule"];
  const flat = (metric, test) => scores(metric, test).map((one) => [metric, test, ...one.a, ...one.b, one.value, one.status, one.reason, one.warning, one.marked]);

  const scoreTable = (state, column) => {
    const lines = state.metrics.flatMap((metric) => flat(metric, testOf(column)));
    if (!lines.length) return null;
    const save = h("button", { type: "button", textContent: "CSV of these scores" });
    save.addEventListener("click", () => saved(`${fileName(board.suite, testOf(column), ...state.metrics)}.csv`, "text/csv", csv([COLUMNS, ...lines])));
    const fold = h("details", { className: "scores" }, h("summary", {}, `The ${lines.length} scores`));
    const shown = lines.slice(0, SCORES_SHOWN);
    fold.addEventListener("toggle", () => {
      if (!fold.open || fold.querySelector("table")) return;
      const head = h("tr", {}, ["metric", "a", "b", "score", ""].map((name) => h("th", { scope: "col" }, name)));
      const body = shown.map((line) => h("tr", {}, h("td", {}, line[0]), h("td", {}, line.slice(2, 5).join(" ")), h("td", {}, line.slice(5, 8).join(" ")), h("td", {}, line[8] === null ? line[9] : String(line[8])), h("td", {}, line[12] ? "✗" : "", line[10] || line[11])));
      fold.append(h("div", { className: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, body))));
      if (lines.length > shown.length) fold.append(h("p", { className: "soft" }, `The first ${shown.length} of ${lines.length}; the CSV has all.`));
    });
    return h("div", { className: "actions" }, save, fold);
  };

  const heading = (text) => {
    const close = h("button", { type: "button", className: "close", textContent: "Close" });
    close.addEventListener("click", () => dialog.close());
    return h("header", {}, h("h2", { id: "details-title" }, text), close);
  };

  const showTest = (state) => {
    const column = columnOf.get(state.test);
    const asked = state.metrics.flatMap((metric) => answers(metric, testOf(column), partOf(column)));
    // The same axis for all that stand side by side.
    const margins = asked.filter((one) => one.at !== null && one.margin !== null).map((one) => one.margin);
    const domain = margins.length ? [Math.min(0, ...margins), Math.max(0, ...margins)] : undefined;
    const names = partOf(column) === null && !margins.length ? panelsOf(scores(state.metrics[0], testOf(column))).map((panel) => panel.name) : [];
    dialog.replaceChildren(heading(column.id), pickers(state, column, names), inWords(column),
      h("div", { className: `beside of-${state.metrics.length}` }, state.metrics.map((metric) => beside(metric, column, state, domain))),
      scoreTable(state, column) || "");
  };

  const showMetric = (state) => {
    const row = rowOf.get(state.metrics[0]);
    const lines = board.columns.map((column) => {
      const cell = row.tests[column.id];
      const go = h("button", { type: "button", className: "name", textContent: column.parent ? partOf(column) : column.id });
      go.addEventListener("click", () => listener({ test: column.id }));
      return h("tr", { className: column.parent ? "inner" : "" }, h("th", { scope: "row" }, go), h("td", {}, verdict(cell)), h("td", { className: "soft" }, cell.reason || ""));
    });
    dialog.replaceChildren(heading(row.metric),
      h("div", { className: "words" }, h("p", {}, row.summary)),
      list([
        ["formula", row.formula], ["reference", row.reference], ["family", row.family],
        ["direction", row.higher_is_more_similar ? "higher is more similar" : "lower is more similar"],
        ["symmetric", row.symmetric === null ? "" : row.symmetric ? "yes" : "no"],
        ["declared invariant to", words(spoken(row.invariant_to))], ["needs", spoken(row.needs)], ["compares", row.level],
        ["door", row.door], ["parameters", spoken(row.parameters)], ["identity", row.identity], ["defined at", row.origin],
      ]),
      h("div", { className: "scroll" }, h("table", { className: "verdicts" }, h("tbody", {}, lines))));
  };

  const known = (state) => ({ ...state, metrics: state.metrics.filter((name) => rowOf.has(name)).slice(0, MOST) });

  /* Shows what the state asks for; closes when it asks for nothing. */
  const show = (asked) => {
    const state = known(asked);
    const wanted = state.metrics.length > 0;
    if (!wanted) {
      if (dialog.open) dialog.close();
      return;
    }
    const place = dialog.open && dialog.contains(document.activeElement) ? [...dialog.querySelectorAll("select, button")].indexOf(document.activeElement) : -1;
    if (columnOf.has(state.test)) showTest(state);
    else showMetric(state);
    if (!dialog.open) dialog.showModal();
    // What is drawn anew keeps the keyboard where it was.
    [...dialog.querySelectorAll("select, button")][place]?.focus();
  };

  dialog.addEventListener("close", () => listener({ test: "", metrics: [], pair: "" }));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  return { board, show, onChange: (callback) => { listener = callback; }, saved, csv, fileName };
})();
