"use strict";
// Shared by all pages: data files, elements, the theme. Texts only ever become text nodes.

const refseg = (() => {
  const taken = new Map();
  const asked = new Map();

  // Data files are scripts, since a page that was opened from the file system may not fetch.
  function take(name, value) {
    taken.set(name, value);
  }

  function load(name, source) {
    if (!asked.has(name)) {
      asked.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = source;
        script.onload = () => {
          resolve(taken.get(name));
          taken.delete(name);
        };
        script.onerror = () => reject(new Error(`${source} is not there`));
        document.head.append(script);
      }));
    }
    return asked.get(name);
  }

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function percent(value) {
    return value === null || value === undefined ? "–" : value.toFixed(1);
  }

  function theme() {
    const button = document.getElementById("theme");
    const names = ["as the system", "light", "dark"];
    let chosen = 0;
    try {
      chosen = Math.max(0, names.indexOf(localStorage.getItem("refseg-theme")));
    } catch {
      // A browser may keep nothing for files.
    }
    const show = () => {
      button.textContent = `Theme: ${names[chosen]}`;
      if (chosen) document.documentElement.dataset.theme = names[chosen];
      else delete document.documentElement.dataset.theme;
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      chosen = (chosen + 1) % names.length;
      try {
        localStorage.setItem("refseg-theme", names[chosen]);
      } catch {
        // As above.
      }
      show();
    });
    show();
  }

  theme();
  return { take, load, element, percent, get: (name) => taken.get(name) };
})();
