"use strict";
/* What is behind a cell: the test in words, the rule, the figures, the scores; one to three metrics side by side. */
const details = (() => {
  const { h, saved, fileName, csv } = tools;
  const { board, columnOf, testOf, partOf, scores, answers, words } = evidence;
  const rowOf = new Map(board.rows.map((row) => [row.metric, row]));
  const dialog = document.getElementById("details");
  const MOST = 3, SCORES_SHOWN = 300;
  let listener = () => {};

  const MARKS = { pass: "✓ pass", fail: "✗ fail", undecided: "? undecided", "not-promised": "· not promised", partly: "~ in part", skip: "skipped", error: "error", timeout: "timed out", missing: "missing" };

  const list = (pairs) => h("dl", {}, pairs.filter(([, value]) => value !== "" && value !== null).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  const spoken = (value) => (Array.isArray(value) ? value.join(", ") : value !== null && typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k} ${spoken(v)}`).join(", ") : String(value));

  const verdict = (cell) => h("p", { className: `outcome ${cell.state}` },
    h("strong", {}, cell.owed === "promised" && cell.outcome === "fail" ? "✗ broken promise" : MARKS[cell.state]), cell.grade === null ? "" : ` ${cell.grade.toFixed(3)}`,
    cell.interval ? h("span", { className: "soft" }, ` [${cell.interval.map((end) => end.toFixed(2)).join(", ")}]`) : "");

  const beside = (metric, column, state, domain) => {
    const row = rowOf.get(metric), cell = row.tests[column.id];
    const asked = answers(metric, testOf(column), partOf(column));
    const shares = cell.tallies.flatMap(([models, credit, total]) => [h("span", { className: "share" }, `${models.join(" + ")} ${Number(credit.toFixed(2))}/${total}`), " "]);
    const open = h("button", { type: "button", className: "name", title: row.summary, textContent: metric });
    open.addEventListener("click", () => listener({ test: "", metrics: [metric], pair: "" }));
    const worst = cell.violations.slice(0, 5).map((violation) => h("li", {}, violation.where, h("span", { className: "soft" }, ` by ${charts.number(violation.margin === null ? null : -violation.margin)}`)));
    const drawn = cell.status === "ok" || asked.length ? figures.of(row, column, asked, state.pair, domain) : [];
    const nothing = drawn.length ? null : h("p", { className: "nothing" }, cell.reason || "There are no scores to draw.");
    return h("section", { className: "one" },
      h("h3", {}, open), verdict(cell), cell.reason ? h("p", { className: "reason" }, cell.reason) : null,
      nothing || h("div", { className: "charts" }, drawn),
      h("div", { className: "facts" }, list([
        ["comparisons", cell.comparisons ? String(cell.comparisons) : ""],
        ...Object.entries(cell.auxiliary).map(([name, value]) => [words(name), charts.number(value)]),
      ]),
      shares.length ? h("p", { className: "shares" }, h("span", { className: "soft" }, "held, by models "), shares) : null,
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
    const owed = test.purposes.length ? ` Owed by indices of ${test.purposes.join(", ")}.` : "";
    return h("div", { className: "words" }, test.reason ? h("p", {}, h("strong", {}, test.reason)) : null, first,
      h("p", {}, h("strong", {}, "Passes if"), ` the interval of the grade is ${column.pass_if}, and no column that is owed misses it; fails if none of the interval is; else it is undecided.${owed}`, partOf(column) ? ` This is its column ${partOf(column)}.` : ""),
      rest.length || settings.length ? h("details", {}, h("summary", {}, "How it is asked, settings, source"), ...rest, list([["kind", test.kind], ...settings])) : null);
  };

  const select = (label, options, value, change) => {
    const node = h("select", {}, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
    node.addEventListener("change", () => change(node.value));
    return h("label", {}, label, " ", node);
  };

  const pickers = (state, column, panelNames) => {
    const tests = board.columns.map((listed) => [listed.id, listed.parent ? `\u00a0\u00a0${partOf(listed)}` : listed.id]);
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

  const COLUMNS = ["metric", "test", "a_model", "a_layer", "a_change", "b_model", "b_layer", "b_change", "value", "status", "reason", "warning", "breaks_rule", "auxiliary"];
  const flat = (metric, test) => scores(metric, test).map((score) => [metric, test, ...score.a, ...score.b, score.value, score.status, score.reason, score.warning, score.marked, score.auxiliary.map((pair) => pair.join("=")).join("; ")]);

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
      const body = shown.map((line) => h("tr", {}, h("td", {}, line[0]), h("td", {}, line.slice(2, 5).join(" ")), h("td", {}, line.slice(5, 8).join(" ")), h("td", {}, line[8] === null ? line[9] : String(line[8])), h("td", {}, line[12] ? "✗ " : "", line[10] || [line[11], words(line[13])].filter(Boolean).join("; "))));
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
    const margins = asked.filter((answer) => answer.held !== null && answer.at !== null && answer.margin !== null).map((answer) => answer.margin);
    const domain = margins.length ? [Math.min(0, ...margins), Math.max(0, ...margins)] : undefined;
    const names = figures.mapsOf(state.metrics[0], column, asked).map((panel) => panel.name);
    dialog.replaceChildren(heading(column.id), pickers(state, column, names), inWords(column),
      h("div", { className: `beside of-${state.metrics.length}` }, state.metrics.map((metric) => beside(metric, column, state, domain))),
      scoreTable(state, column) || "");
  };

  /* A property as its author declared it, in words. */
  const declared = (name, value) => {
    if (typeof value === "boolean") return value ? "yes" : "no";
    return name === "invariant_to" ? words(spoken(value)) : value === null ? "" : spoken(value);
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
        ...Object.entries(row.declaration).filter(([name]) => name !== "name").map(([name, value]) => [words(name), name === "value_range" ? row.range : declared(name, value)]),
        ["interface", row.interface], ["parameters", spoken(row.parameters)], ["identity", row.identity], ["defined at", row.origin],
      ]),
      h("div", { className: "scroll" }, h("table", { className: "verdicts" }, h("tbody", {}, lines))));
  };

  const valid = (state) => ({ ...state, metrics: state.metrics.filter((name) => rowOf.has(name)).slice(0, MOST) });

  /* Shows what the state asks for; closes when it asks for nothing. */
  const show = (asked) => {
    const state = valid(asked);
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

  // The event comes in a task of its own: by then something else may have been opened.
  dialog.addEventListener("close", () => dialog.open || listener({ test: "", metrics: [], pair: "" }));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  return { show, onChange: (callback) => { listener = callback; } };
})();
