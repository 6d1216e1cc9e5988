"use strict";
/* The data and the scripts of this page lie in it as base64 of zlib streams. Each becomes the element that it is. */
(async () => {
  const unpacked = (element) => {
    const bytes = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  };
  try {
    const elements = [...document.querySelectorAll("script[type='application/zlib']")];
    const texts = await Promise.all(elements.map(unpacked));
    elements.forEach((element, at) => {
      const script = document.createElement("script");
      const { type, id = "", test } = element.dataset;
      Object.assign(script, { type, id, textContent: texts[at] });
      if (test !== undefined) Object.assign(script, { className: "evidence" }).dataset.test = test;
      element.replaceWith(script); // which runs it, if it is a script
    });
  } finally {
    document.documentElement.classList.remove("loading");
  }
})();
