"use strict";
/* The figures behind a grade. Each takes plain data and gives an SVG element whose colours are written out, so that a
   saved file needs no style sheet. */
const charts = (() => {
  const palette = () => {
    const style = getComputedStyle(document.body);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  };
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const mix = (low, high, share) => {
    const [a, b] = [channels(low), channels(high)];
    return `#${a.map((channel, i) => Math.round(channel + (b[i] - channel) * share).toString(16).padStart(2, "0")).join("")}`;
  };
  const luminance = (hex) => channels(hex)
    .map((channel) => (channel / 255 <= 0.04045 ? channel / 3294.6 : ((channel / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, channel, i) => sum + channel * [0.2126, 0.7152, 0.0722][i], 0);
  // Black reads better than white above this luminance; at it, both have a contrast of 4.58.
  const inkOn = (hex) => (luminance(hex) > 0.179 ? "#000000" : "#ffffff");

  const number = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 0.01 || size >= 1e4)) return value.toExponential(1).replace("e+", "e");
    return value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
  };

  const drawn = (color, label, options) => {
    const svg = Plot.plot({
      ...options,
      ariaLabel: label,
      style: { background: color("sheet"), color: color("ink"), fontFamily: "system-ui, sans-serif", fontSize: "12px" },
    });
    svg.setAttribute("role", "img");
    return svg;
  };

  const longest = (names) => Math.max(...names.map((name) => name.length));

  /* cells: {row, column, value, marked, reason}; marked says how many of the panels behind a cell broke the rule. */
  const heatMap = ({ cells, rows, columns, rowLabel, columnLabel, lowerIsSimilar, label, panels }) => {
    const color = palette();
    const values = cells.map((cell) => cell.value).filter((value) => value !== null);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const share = (value) => {
      const along = most > least ? (value - least) / (most - least) : 0.5;
      return lowerIsSimilar ? 1 - along : along;
    };
    const fill = (cell) => (cell.value === null ? color("head") : mix(color("ramp-low"), color("ramp-high"), share(cell.value)));
    const size = Math.max(15, Math.min(58, 400 / Math.max(rows.length, columns.length)));
    const turned = longest(columns) * 7 > size;
    const [left, top] = [16 + 7 * longest(rows), turned ? 34 + 5 * longest(columns) : 40];
    // Slanted headings lean over the right edge.
    const right = turned ? 12 + 4.5 * longest(columns) : 12;
    const bad = cells.filter((cell) => cell.marked);
    const said = (cell) => `${cell.row} → ${cell.column}: ${cell.value === null ? cell.reason || "no score" : cell.value}`
      + (cell.marked ? `\nbreaks the rule${panels > 1 ? ` in ${cell.marked} of ${panels}` : ""}` : "");
    const marks = [Plot.cell(cells, { x: "column", y: "row", fill, inset: 0.5, title: said })];
    if (size >= 30) {
      const text = (cell) => number(cell.value);
      marks.push(Plot.text(cells, { x: "column", y: "row", text, fill: (cell) => inkOn(fill(cell)), fontSize: size < 36 ? 9 : size < 48 ? 11 : 12.5, pointerEvents: "none" }));
    }
    marks.push(Plot.cell(bad, { x: "column", y: "row", fill: "none", stroke: color("mark"), strokeWidth: 2, inset: 1.5, pointerEvents: "none" }));
    // A sign beside the colour: a cross in the corner, with the count where several panels are averaged.
    const corner = { x: "column", y: "row", dx: size / 2 - 4, dy: -size / 2 + 8, textAnchor: "end", fontSize: 9, fontWeight: 700, pointerEvents: "none" };
    marks.push(Plot.text(bad, { ...corner, text: (cell) => (panels > 1 && size >= 30 ? `✗${cell.marked}` : "✗"), fill: (cell) => inkOn(fill(cell)) }));
    const height = top + 42 + size * rows.length;
    const width = Math.max(left + right + size * columns.length, left + 230); // the scale needs this
    const svg = drawn(color, label, {
      width, height, marginLeft: left, marginTop: top, marginBottom: 42, padding: 0,
      marginRight: width - left - size * columns.length,
      x: { domain: columns, axis: "top", label: `${columnLabel} →`, labelAnchor: "right", labelArrow: "none", labelOffset: top - 6, tickRotate: turned ? -45 : 0, tickSize: 0 },
      y: { domain: rows, label: `↓ ${rowLabel}`, labelAnchor: "top", labelArrow: "none", labelOffset: left, tickSize: 0 },
      color: { type: "identity" },
      marks,
    });
    if (values.length) scale(svg, color, { x: left, y: height - 22, ends: lowerIsSimilar ? [most, least] : [least, most] });
    return svg;
  };

  /* What the colours of a map mean: the least and the most similar of its scores, in the saved file, too. */
  const scale = (svg, color, { x, y, ends }) => {
    const add = (parent, tag, attributes, text = "") => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      node.textContent = text;
      return parent.appendChild(node);
    };
    const id = `ramp-${(scales += 1)}`;
    const gradient = add(add(svg, "defs", {}), "linearGradient", { id });
    add(gradient, "stop", { offset: 0, "stop-color": color("ramp-low") });
    add(gradient, "stop", { offset: 1, "stop-color": color("ramp-high") });
    const group = add(svg, "g", { class: "scale", fill: "currentColor", "font-size": 11, "text-anchor": "start" });
    const least = add(group, "text", { x, y: y + 9 }, number(ends[0]));
    const start = x + 7 * least.textContent.length + 4;
    add(group, "rect", { x: start, y, width: 90, height: 10, fill: `url(#${id})` });
    add(group, "text", { x: start + 96, y: y + 9 }, `${number(ends[1])} most similar`);
  };
  let scales = 0;

  const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

  const SERIES_TOLD = 8;

  /* More series than a reader tells apart have one colour and no legend. */
  const swatchesOf = (color, series) => {
    if (series.length > SERIES_TOLD) return { hue: () => color("line-1"), dash: () => "", legend: [] };
    const hue = (name) => color(`line-${(series.indexOf(name) % 4) + 1}`);
    const dash = (name) => DASHES[Math.floor(series.indexOf(name) / 4) % DASHES.length];
    const swatch = (name) => (dash(name) ? `repeating-linear-gradient(90deg, ${hue(name)} 0 3px, transparent 3px 5px)` : hue(name));
    return { hue, dash, legend: series.filter(Boolean).map((name) => ({ name, swatch: swatch(name) })) };
  };

  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b), half = sorted.length / 2;
    return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
  };

  /* points: {at, y, series, line, bad, said}: a colour per series, a line per `line`, through the medians where several
     points of it lie at one place. */
  const curve = ({ points, domain, label, xLabel, yLabel, levels, zero = false }) => {
    const color = palette();
    const series = [...new Set(points.map((point) => point.series))];
    const { hue, dash, legend } = swatchesOf(color, series);
    const marks = zero ? [Plot.ruleY([0], { stroke: color("soft"), strokeDasharray: "3 3" })] : [];
    // The first kind of pair, which a question is about, on top of its references.
    const order = [...points].reverse();
    for (const line of new Set(order.map((point) => point.line))) {
      const own = order.filter((point) => point.line === line), kind = own[0].series;
      const path = levels.filter((at) => own.some((point) => point.at === at)).map((at) => ({ at, y: median(own.filter((point) => point.at === at).map((point) => point.y)) }));
      marks.push(Plot.line(path, { x: "at", y: "y", stroke: hue(kind), strokeWidth: 1.6, strokeOpacity: series.length > SERIES_TOLD ? 0.5 : 0.85, strokeDasharray: dash(kind) }));
    }
    marks.push(Plot.dot(order, { x: "at", y: "y", r: points.length > 200 ? 2 : 3.2, fill: (point) => hue(point.series), stroke: color("sheet"), title: "said" }));
    marks.push(Plot.dot(points.filter((point) => point.bad), { x: "at", y: "y", r: points.length > 200 ? 4 : 6, stroke: color("mark"), strokeWidth: 2, symbol: "times", pointerEvents: "none" }));
    const wide = levels[0] > 0 && levels.at(-1) / levels[0] >= 30;
    const svg = drawn(color, label, {
      width: 440, height: 260, marginLeft: 52, marginBottom: 40, marginTop: 26, marginRight: 24, insetLeft: 12, insetRight: 12,
      x: { type: wide ? "log" : "linear", label: xLabel, labelAnchor: "center", ticks: levels.length < 10 ? levels : 6, tickFormat: (value) => String(value), labelArrow: "none" },
      y: { label: yLabel, domain, nice: true, ticks: 5, grid: true, labelArrow: "none" },
      color: { type: "identity" },
      marks,
    });
    return { svg, legend };
  };

  /* points: {x, y, series, said}. */
  const scatter = ({ points, label, xLabel, yLabel }) => {
    const color = palette();
    const series = [...new Set(points.map((point) => point.series))];
    const { hue, legend } = swatchesOf(color, series);
    const svg = drawn(color, label, {
      width: 440, height: 300, marginLeft: 52, marginBottom: 40, marginTop: 26, marginRight: 24, inset: 8,
      x: { label: xLabel, labelAnchor: "center", ticks: 6, labelArrow: "none", nice: true },
      y: { label: yLabel, ticks: 6, grid: true, labelArrow: "none", nice: true },
      color: { type: "identity" },
      marks: [Plot.dot(points, { x: "x", y: "y", r: 3.5, fill: (point) => hue(point.series), fillOpacity: 0.65, title: "said" })],
    });
    return { svg, legend: series.length > 1 ? legend : [] };
  };

  /* bars: {name, grade, low, high, held}; `pass` is the grade that is needed, where the rule is a bound. */
  const bars = ({ bars: rows, pass, label }) => {
    const color = palette();
    const names = rows.map((bar) => bar.name);
    const left = 16 + 6.6 * longest(names);
    const graded = rows.filter((bar) => bar.grade !== null);
    const uncertain = graded.filter((bar) => bar.low !== null && bar.low !== undefined);
    const tint = (bar) => (bar.held === true ? color("good") : bar.held === false ? color("bad") : color("fair"));
    return drawn(color, label, {
      width: left + 330, height: 46 + 30 * rows.length, marginLeft: left, marginRight: 62, marginBottom: 36, marginTop: 8,
      x: { domain: [0, 1], label: "grade", ticks: 5, grid: true, labelArrow: "none", labelAnchor: "center" },
      y: { domain: names, label: null, tickSize: 0, padding: 0.35 },
      color: { type: "identity" },
      marks: [
        // A bar of no length is no bar: zero is a stroke.
        Plot.barX(graded, { y: "name", x1: 0, x2: (bar) => Math.max(bar.grade, 0.012), fill: tint, fillOpacity: (bar) => (bar.grade === 0 ? 1 : 0.55), title: (bar) => `${bar.name}: ${bar.grade}` }),
        Plot.ruleY(uncertain, { y: "name", x1: "low", x2: "high", stroke: color("ink"), strokeWidth: 1.5 }),
        Plot.text(rows, { y: "name", x: 1, dx: 8, textAnchor: "start", text: (bar) => (bar.grade === null ? bar.status : bar.grade.toFixed(3)) }),
        ...(pass === null ? [] : [Plot.ruleX([pass], { stroke: color("soft"), strokeDasharray: "3 3" })]),
        Plot.ruleX([0], { stroke: color("soft") }),
      ],
    });
  };

  /* dots: {name, x, held, said}; held is null where a dot is neither right nor wrong. Spread out by their order, so
     that none hides another. `skewed`: far on the wrong side of zero, and a few hundredths on the right one. */
  const strip = ({ dots, label, xLabel, domain, zero = null, skewed = false }) => {
    const color = palette();
    const names = [...new Set(dots.map((dot) => dot.name))];
    const left = 16 + 6.6 * longest(names);
    const seen = new Map();
    const spread = (dot) => {
      const count = seen.get(dot.name) || 0;
      seen.set(dot.name, count + 1);
      return names.indexOf(dot.name) + ((count * 0.618) % 1 - 0.5) * 0.55;
    };
    const placed = dots.map((dot) => ({ ...dot, y: spread(dot) }));
    const centres = names.map((name, at) => ({ at, x: median(dots.filter((dot) => dot.name === name).map((dot) => dot.x)) }));
    const plain = placed.filter((dot) => dot.held === null);
    const [least, most] = [Math.min(0, ...dots.map((dot) => dot.x)), Math.max(0, ...dots.map((dot) => dot.x))];
    const powers = [-100, -10, -1, -0.1, 0, 0.1, 1].filter((power) => least <= power && power <= most);
    const x = skewed ? { type: "symlog", constant: 0.05, domain: [least, most], ticks: powers, tickFormat: (value) => String(value) } : { domain, ticks: 5, nice: true };
    return drawn(color, label, {
      width: left + 330, height: 50 + 30 * names.length, marginLeft: left, marginRight: 24, insetLeft: 8, insetRight: 8, marginBottom: 36, marginTop: 12,
      x: { ...x, label: xLabel, grid: true, labelArrow: "none", labelAnchor: "center" },
      y: { type: "linear", domain: [names.length - 0.5, -0.5], ticks: names.map((_, i) => i), tickFormat: (i) => names[i], label: null, tickSize: 0 },
      color: { type: "identity" },
      marks: [
        ...(zero === null ? [] : [Plot.ruleX([zero], { stroke: color("soft"), strokeDasharray: "3 3" })]),
        ...(plain.length ? [Plot.ruleX(centres, { x: "x", y1: (centre) => centre.at - 0.34, y2: (centre) => centre.at + 0.34, stroke: color("ink"), strokeWidth: 1.5 })] : []),
        Plot.dot(plain, { x: "x", y: "y", r: 3, fill: color("line-1"), fillOpacity: 0.6, title: "said" }),
        Plot.dot(placed.filter((dot) => dot.held === true), { x: "x", y: "y", r: 3, fill: color("good"), fillOpacity: 0.6, title: "said" }),
        Plot.dot(placed.filter((dot) => dot.held === false), { x: "x", y: "y", r: 3, stroke: color("bad"), strokeWidth: 1.6, symbol: "times", title: "said" }),
      ],
    });
  };

  return { heatMap, curve, scatter, bars, strip, number };
})();
