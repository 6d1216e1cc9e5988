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
    return `#${a.map((one, i) => Math.round(one + (b[i] - one) * share).toString(16).padStart(2, "0")).join("")}`;
  };
  const luminance = (hex) => channels(hex)
    .map((one) => (one / 255 <= 0.04045 ? one / 3294.6 : ((one / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0);
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
    const known = cells.map((one) => one.value).filter((value) => value !== null);
    const [least, most] = [Math.min(...known), Math.max(...known)];
    const share = (value) => {
      const along = most > least ? (value - least) / (most - least) : 0.5;
      return lowerIsSimilar ? 1 - along : along;
    };
    const fill = (one) => (one.value === null ? color("head") : mix(color("ramp-low"), color("ramp-high"), share(one.value)));
    const size = Math.max(15, Math.min(58, 400 / Math.max(rows.length, columns.length)));
    const turned = longest(columns) * 7 > size;
    const [left, top] = [16 + 7 * longest(rows), turned ? 34 + 5 * longest(columns) : 40];
    // Slanted headings lean over the right edge.
    const right = turned ? 12 + 4.5 * longest(columns) : 12;
    const bad = cells.filter((one) => one.marked);
    const said = (one) => `${one.row} → ${one.column}: ${one.value === null ? one.reason || "no score" : one.value}`
      + (one.marked ? `\nbreaks the rule${panels > 1 ? ` in ${one.marked} of ${panels}` : ""}` : "");
    const marks = [Plot.cell(cells, { x: "column", y: "row", fill, inset: 0.5, title: said })];
    if (size >= 30) {
      const text = (one) => number(one.value);
      marks.push(Plot.text(cells, { x: "column", y: "row", text, fill: (one) => inkOn(fill(one)), fontSize: size < 36 ? 9 : size < 48 ? 11 : 12.5, pointerEvents: "none" }));
    }
    marks.push(Plot.cell(bad, { x: "column", y: "row", fill: "none", stroke: color("mark"), strokeWidth: 2, inset: 1.5, pointerEvents: "none" }));
    // A sign beside the colour: a cross in the corner, with the count where several panels are averaged.
    const corner = { x: "column", y: "row", dx: size / 2 - 4, dy: -size / 2 + 8, textAnchor: "end", fontSize: 9, fontWeight: 700, pointerEvents: "none" };
    marks.push(Plot.text(bad, { ...corner, text: (one) => (panels > 1 && size >= 30 ? `✗${one.marked}` : "✗"), fill: (one) => inkOn(fill(one)) }));
    return drawn(color, label, {
      width: Math.max(left + right + size * columns.length, 190),
      height: top + 10 + size * rows.length,
      marginLeft: left, marginTop: top, marginBottom: 10, padding: 0,
      marginRight: Math.max(right, 190 - left - size * columns.length),
      x: { domain: columns, axis: "top", label: `${columnLabel} →`, labelAnchor: "right", labelArrow: "none", labelOffset: top - 6, tickRotate: turned ? -45 : 0, tickSize: 0 },
      y: { domain: rows, label: `↓ ${rowLabel}`, labelAnchor: "top", labelArrow: "none", labelOffset: left, tickSize: 0 },
      color: { type: "identity" },
      marks,
    });
  };

  const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

  /* points: {at, margin, line, held, where}; above 0 a trial held. */
  const curve = ({ points, domain, label, xLabel }) => {
    const color = palette();
    const lines = [...new Set(points.map((one) => one.line))];
    const hue = (line) => color(`line-${(lines.indexOf(line) % 4) + 1}`);
    const marks = [Plot.ruleY([0], { stroke: color("soft"), strokeDasharray: "3 3" })];
    lines.forEach((line, index) => {
      const along = points.filter((one) => one.line === line).sort((a, b) => a.at - b.at);
      const dash = DASHES[Math.floor(index / 4) % DASHES.length];
      marks.push(Plot.line(along, { x: "at", y: "margin", stroke: hue(line), strokeWidth: 1.75, strokeDasharray: dash }));
    });
    const title = (one) => `${one.where}: ${number(one.margin)} (${one.held ? "held" : "did not hold"})`;
    marks.push(Plot.dot(points, { x: "at", y: "margin", r: 3.5, fill: (one) => hue(one.line), stroke: color("sheet"), title }));
    marks.push(Plot.dot(points.filter((one) => !one.held), { x: "at", y: "margin", r: 6, stroke: color("mark"), strokeWidth: 2, symbol: "times", pointerEvents: "none" }));
    const svg = drawn(color, label, {
      width: 440, height: 260, marginLeft: 52, marginBottom: 38, marginTop: 26,
      x: { label: xLabel, nice: true, ticks: 6, labelArrow: "none" },
      y: { label: "margin (above 0: held)", domain, nice: true, ticks: 6, grid: true, labelArrow: "none" },
      color: { type: "identity" },
      marks,
    });
    const swatch = (line) => (lines.indexOf(line) < 4 ? hue(line) : `repeating-linear-gradient(90deg, ${hue(line)} 0 3px, transparent 3px 5px)`);
    return { svg, legend: lines.map((line) => ({ line, swatch: swatch(line) })) };
  };

  /* bars: {name, grade, low, high, held}; `pass` is the grade that is needed, where the rule is a bound. */
  const bars = ({ bars: rows, pass, label }) => {
    const color = palette();
    const names = rows.map((one) => one.name);
    const left = 16 + 6.6 * longest(names);
    const graded = rows.filter((one) => one.grade !== null);
    const uncertain = graded.filter((one) => one.low !== null && one.low !== undefined);
    const tint = (one) => (one.held === true ? color("good") : one.held === false ? color("bad") : color("fair"));
    return drawn(color, label, {
      width: left + 330, height: 46 + 30 * rows.length, marginLeft: left, marginRight: 62, marginBottom: 36, marginTop: 8,
      x: { domain: [0, 1], label: "share of the questions that held", ticks: 5, grid: true, labelArrow: "none", labelAnchor: "center" },
      y: { domain: names, label: null, tickSize: 0, padding: 0.35 },
      color: { type: "identity" },
      marks: [
        Plot.barX(graded, { y: "name", x: "grade", fill: tint, fillOpacity: 0.55, title: (one) => `${one.name}: ${one.grade}` }),
        Plot.ruleY(uncertain, { y: "name", x1: "low", x2: "high", stroke: color("ink"), strokeWidth: 1.5 }),
        Plot.text(rows, { y: "name", x: 1, dx: 8, textAnchor: "start", text: (one) => (one.grade === null ? one.status : one.grade.toFixed(3)) }),
        ...(pass === null ? [] : [Plot.ruleX([pass], { stroke: color("soft"), strokeDasharray: "3 3" })]),
        Plot.ruleX([0], { stroke: color("soft") }),
      ],
    });
  };

  /* dots: {name, margin, held, where}; right of 0 a trial held. Spread out by their order, so that none hides another. */
  const strip = ({ dots, label }) => {
    const color = palette();
    const names = [...new Set(dots.map((one) => one.name))];
    const left = 16 + 6.6 * longest(names);
    const seen = new Map();
    const spread = (one) => {
      const count = seen.get(one.name) || 0;
      seen.set(one.name, count + 1);
      return names.indexOf(one.name) + ((count * 0.618) % 1 - 0.5) * 0.55;
    };
    const placed = dots.map((one) => ({ ...one, y: spread(one) }));
    const title = (one) => `${one.where}: ${number(one.margin)} (${one.held ? "held" : "did not hold"})`;
    return drawn(color, label, {
      width: left + 330, height: 50 + 30 * names.length, marginLeft: left, marginRight: 24, insetLeft: 8, marginBottom: 36, marginTop: 12,
      // Margins span orders of magnitude on the wrong side and a few hundredths on the right one.
      x: { type: "symlog", constant: 0.05, label: "margin (right of 0: held)", ticks: [-100, -10, -1, -0.1, 0, 0.1, 1], tickFormat: (value) => String(value), grid: true, labelArrow: "none", labelAnchor: "center" },
      y: { type: "linear", domain: [names.length - 0.5, -0.5], ticks: names.map((_, i) => i), tickFormat: (i) => names[i], label: null, tickSize: 0 },
      color: { type: "identity" },
      marks: [
        Plot.ruleX([0], { stroke: color("soft"), strokeDasharray: "3 3" }),
        Plot.dot(placed.filter((one) => one.held), { x: "margin", y: "y", r: 3, fill: color("good"), fillOpacity: 0.6, title }),
        Plot.dot(placed.filter((one) => !one.held), { x: "margin", y: "y", r: 3, stroke: color("bad"), strokeWidth: 1.6, symbol: "times", title }),
      ],
    });
  };

  return { heatMap, curve, bars, strip, number, contrastInk: inkOn };
})();
