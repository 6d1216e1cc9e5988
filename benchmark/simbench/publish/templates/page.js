"use strict";
/* The matrix: sort, search, filter, choose columns, walk by keyboard. All that is chosen is in the URL. */
(() => {
  const { board } = evidence, { saved, csv, fileName } = tools, { show, onChange } = details;
  const table = document.querySelector(".sheet table");
  const headers = [...table.tHead.rows[0].cells];
  const ids = headers.map((header) => header.dataset.id);
  const bodies = [...table.tBodies].filter((body) => !body.classList.contains("divider"));
  const mainPurpose = (metric) => Object.keys(metric.standing)[0];
  const rows = bodies.flatMap((body) => [...body.rows]);
  const rowOf = new Map(board.rows.map((row) => [row.metric, row]));
  const kindOf = new Map(board.columns.map((column) => [column.id, column.kind]));
  const form = document.querySelector("form.tools");
  const byId = (id) => document.getElementById(id);
  const FILTERS = ["purpose", "family", "interface", "kind"];
  const hiddenAtFirst = new Set(headers.filter((header) => header.matches(".inner, .extra")).map((header) => header.dataset.id));
  const fresh = () => ({ sort: "#tier", descending: false, search: "", purpose: [], family: [], interface: [], kind: [], show: [], hide: [], test: "", metrics: [], pair: "" });
  let state = fresh();

  const label = (header) => header.querySelector(".label").textContent;

  // What a cell is sorted by is read once: the table never changes its numbers.
  const keys = new Map(rows.map((row) => [row, [...row.cells].map((cell, at) => (at === 0 ? cell.dataset.sort.toLowerCase() : cell.dataset.sort === "" ? null : Number(cell.dataset.sort)))]));

  /* Numbers in numerical order, names in alphabetical order, what is unknown last in either direction; stable. */
  const compare = (column, sign) => (row, other) => {
    const a = keys.get(row)[column], b = keys.get(other)[column];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (column === 0 ? a.localeCompare(b) : a - b);
  };

  let sorted = "#rank false";
  const sort = () => {
    const column = Math.max(0, ids.indexOf(state.sort));
    headers.forEach((header, at) => {
      if (at === column) header.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
    byId("order").value = state.sort;
    const wanted = `${state.sort} ${state.descending}`;
    if (wanted === sorted) return;
    sorted = wanted;
    // From the published order, so that ties stay in it. The purposes are bodies of their own.
    for (const body of bodies) {
      const own = rows.filter((row) => row.parentNode === body);
      body.append(...own.sort(compare(column, state.descending ? -1 : 1)));
    }
  };

  const matches = (row) => {
    const metric = rowOf.get(row.dataset.metric);
    const text = [metric.metric, metric.declaration.family, metric.summary, metric.declaration.reference, metric.identity].join(" ").toLowerCase();
    return state.search.toLowerCase().split(/\s+/).every((word) => text.includes(word))
      && Object.entries({ purpose: mainPurpose(metric), family: metric.declaration.family, interface: metric.interface }).every(([name, value]) => !state[name].length || state[name].includes(value));
  };

  const isShown = (id) => {
    if (state.kind.length && kindOf.has(id) && !state.kind.includes(kindOf.get(id))) return false;
    return state.show.includes(id) || (!hiddenAtFirst.has(id) && !state.hide.includes(id));
  };

  const filter = () => {
    let count = 0;
    for (const row of rows) {
      row.hidden = !matches(row);
      count += !row.hidden;
    }
    const hidden = ids.map((id, at) => (at > 0 && !isShown(id) ? at + 1 : 0)).filter(Boolean);
    const sides = hidden.flatMap((at) => [`.page-table th:nth-child(${at})`, `.page-table tr:not(.line) > td:nth-child(${at})`]);
    const rule = sides.length ? `${sides.join(",")}{display:none!important}` : "";
    if (byId("hidden-columns").textContent !== rule) byId("hidden-columns").textContent = rule;
    const columns = board.columns.filter((column) => isShown(column.id)).length;
    byId("shown").textContent = `${count} of ${rows.length} metrics, ${columns} of ${board.columns.length} grade columns shown`;
    byId("nothing").hidden = count > 0;
    for (const body of table.querySelectorAll(".divider")) body.hidden = [...body.nextElementSibling.rows].every((row) => row.hidden);
  };

  /* Controls follow the state, whoever changed it. */
  const reflect = () => {
    byId("search").value = state.search;
    for (const box of form.querySelectorAll("input[type=checkbox]")) {
      box.checked = box.name === "column" ? isShown(box.value) : state[box.name].includes(box.value);
      box.disabled = box.name === "column" && state.kind.length > 0 && kindOf.has(box.value) && !state.kind.includes(kindOf.get(box.value));
    }
    for (const menu of form.querySelectorAll(".menu")) {
      const chosen = FILTERS.includes(menu.dataset.menu) ? state[menu.dataset.menu].length : state.show.length + state.hide.length;
      menu.querySelector(".count").textContent = chosen ? String(chosen) : "";
    }
  };

  const LISTS = ["purpose", "family", "interface", "kind", "show", "hide", "metrics"];
  const toHash = () => {
    const parameters = new URLSearchParams(), first = fresh();
    if (state.sort !== first.sort || state.descending) parameters.set("sort", `${state.descending ? "-" : ""}${state.sort}`);
    for (const name of ["search", "test", "pair"]) if (state[name]) parameters.set(name, state[name]);
    for (const name of LISTS) state[name].forEach((value) => parameters.append(name, value));
    return parameters.toString();
  };
  const fromHash = () => {
    const given = new URLSearchParams(location.hash.slice(1)), next = fresh();
    const order = given.get("sort");
    if (order) {
      next.descending = order.startsWith("-") && !ids.includes(order);
      next.sort = next.descending ? order.slice(1) : order;
      if (!ids.includes(next.sort)) next.sort = "#tier";
    }
    for (const name of ["search", "test", "pair"]) next[name] = given.get(name) || "";
    for (const name of LISTS) next[name] = given.getAll(name);
    return next;
  };

  const draw = () => {
    sort();
    filter();
    reflect();
    show(state);
  };
  const update = (changes) => {
    state = { ...state, ...changes };
    const hash = toHash();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", `#${hash}`);
    draw();
  };

  const toggled = (list, value, on) => (on ? [...new Set([...list, value])] : list.filter((present) => present !== value));
  const chooseColumn = (id, on) => {
    if (hiddenAtFirst.has(id)) update({ show: toggled(state.show, id, on) });
    else update({ hide: toggled(state.hide, id, !on) });
  };

  const sortBy = (id, turned) => {
    const first = headers[ids.indexOf(id)].dataset.first === "descending";
    update({ sort: id, descending: turned && state.sort === id ? !state.descending : first });
  };

  /* Exactly what is shown: these rows, in this order, with these columns. */
  const shownCsv = () => {
    const columns = ids.filter((id, at) => at === 0 || isShown(id));
    const fields = {
      "#metric": [["metric", (row) => row.metric]],
      "#tier": [["purpose", mainPurpose], ["tier", (row) => row.standing[mainPurpose(row)].tier]],
      "#broken": [["broken_promises", (row) => row.counts.broken_promises.join(" ")]],
      ...Object.fromEntries(["passed", "failed", "undecided", "unanswered", "not_promised"].map((name) => [`#${name}`, [[name, (row) => row.counts[name]]]])),
      "#cost": [["seconds_per_comparison", (row) => (row.comparisons ? row.seconds / row.comparisons : null)]],
      "#seconds": [["seconds", (row) => row.seconds]],
    };
    const ofTest = (id) => [
      [`${id} verdict`, (row) => row.tests[id].state],
      [`${id} grade`, (row) => row.tests[id].grade],
      [`${id} low`, (row) => row.tests[id].interval?.[0]],
      [`${id} high`, (row) => row.tests[id].interval?.[1]],
      [`${id} reason`, (row) => row.tests[id].reason],
      [`${id} remarks`, (row) => (row.tests[id].remarks || []).map((remark) => `${remark.scores} of ${remark.asked} scores, for example ${remark.where}: ${remark.text}`).join("; ")],
    ];
    const chosen = columns.flatMap((id) => fields[id] || ofTest(id));
    const lines = [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => row.dataset.metric !== undefined && !row.hidden);
    return csv([chosen.map(([name]) => name), ...lines.map((row) => chosen.map(([, value]) => value(rowOf.get(row.dataset.metric))))]);
  };

  /* One stop of the tab key for the whole matrix; arrows walk over what is shown. */
  let current = null;
  const stop = (button) => {
    if (current) current.tabIndex = -1;
    current = button;
    if (current) current.tabIndex = 0;
  };
  const walk = (event) => {
    const cell = event.target.closest("th, td");
    if (!cell || event.target.tagName !== "BUTTON" || !table.tBodies.length || cell.closest("thead")) return;
    const visible = rows.filter((row) => !row.hidden).sort((a, b) => (a.compareDocumentPosition(b) & 4 ? -1 : 1));
    const columns = ids.map((id, at) => at).filter((at) => (at === 0 || isShown(ids[at])) && visible[0]?.cells[at].querySelector("button"));
    let row = visible.indexOf(cell.parentNode), column = columns.indexOf(cell.cellIndex);
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -columns.length], End: [0, columns.length] };
    if (!moves[event.key]) return;
    event.preventDefault();
    const within = (value, length) => Math.max(0, Math.min(length - 1, value));
    row = within(row + moves[event.key][0], visible.length);
    column = within(column + moves[event.key][1], columns.length);
    visible[row].cells[columns[column]].querySelector("button").focus();
  };

  const setUp = () => {
    table.classList.add("page-table");
    document.body.classList.remove("only-tests");
    headers.forEach((header, at) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sortBy(ids[at], true));
      byId("order").append(new Option(label(header), ids[at]));
      if (at === 0) return;
      const box = Object.assign(document.createElement("input"), { type: "checkbox", name: "column", value: ids[at] });
      const line = document.createElement("label");
      line.className = header.classList.contains("inner") ? "inner" : "";
      line.append(box, ` ${label(header)}`);
      byId("columns").append(line);
    });
    byId("order").addEventListener("change", (event) => sortBy(event.target.value, false));
    byId("search").addEventListener("input", (event) => update({ search: event.target.value }));
    form.addEventListener("change", ({ target }) => {
      if (target.name === "column") chooseColumn(target.value, target.checked);
      else if (FILTERS.includes(target.name)) update({ [target.name]: toggled(state[target.name], target.value, target.checked) });
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => { event.preventDefault(); update(fresh()); });
    byId("csv").addEventListener("click", () => saved(`${fileName(board.suite)}.csv`, "text/csv", shownCsv()));
    // An open menu closes when the reader goes elsewhere.
    document.addEventListener("click", ({ target }) => form.querySelectorAll(".menu[open]").forEach((menu) => { if (!menu.contains(target)) menu.open = false; }));
    form.addEventListener("keydown", (event) => {
      const menu = event.key === "Escape" && event.target.closest(".menu[open]");
      if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
    });
    table.addEventListener("click", ({ target }) => {
      const cell = target.closest("tbody th, tbody td.verdict");
      if (!cell || !cell.parentNode.dataset.metric) return;
      update({ metrics: [cell.parentNode.dataset.metric], test: cell.cellIndex ? ids[cell.cellIndex] : "", pair: "" });
    });
    table.addEventListener("keydown", walk);
    table.addEventListener("focusin", ({ target }) => { if (target.matches("tbody button")) stop(target); });
    stop(table.querySelector("tbody button"));
    onChange(update);
    window.addEventListener("hashchange", () => { state = fromHash(); draw(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(state));
    form.hidden = false;
  };

  setUp();
  state = fromHash();
  draw();
})();
