"use strict";
/* Nodes, names of files, CSV and saving. */
const tools = (() => {
  // The text of a node is never parsed as HTML.
  const h = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  };
  const saved = (name, type, text) => {
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const fileName = (...parts) => parts.join("-").replace(/[^\w.-]+/g, "_");
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    // A text that a spreadsheet would run as a formula is marked as text.
    const safe = typeof value === "string" && /^[=+@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = (lines) => `${lines.map((line) => line.map(quoted).join(",")).join("\n")}\n`;
  return { h, saved, fileName, csv };
})();
