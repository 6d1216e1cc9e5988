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
  // As in visible.py: what is not seen is shown, and a text that a spreadsheet would run as a formula is marked as text.
  const escapes = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const hex = (code) => (code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : code < 65536 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`);
  const visible = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (char) => escapes[char] || hex(char.codePointAt(0)));
  const isNumber = (text) => /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text);
  const defused = (text) => (/^[=+\-@＝＋－＠]/.test(text.trimStart()) && !isNumber(text) ? `'${text}` : text);
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" ? defused(visible(text)) : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = (lines) => `${lines.map((line) => line.map(quoted).join(",")).join("\n")}\n`;
  return { h, saved, fileName, csv };
})();
