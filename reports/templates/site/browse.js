"use strict";
// The list of sentences: filters, order, pages, the address, and the keys.

(() => {
  const { element, percent } = refseg;
  const PER_PAGE = 50;
  const SHOWN = 3;
  const index = refseg.get("index");
  const byId = (id) => document.getElementById(id);
  const form = byId("filters");
  const list = byId("list");
  const folder = form.dataset.folder;
  const player = refseg.player(index, folder, remember);
  let matches = [];
  let page = 0;
  let remembering = false;

  function option(value, text) {
    return element("option", { value }, text);
  }

  function fillFilters() {
    form.run.append(...index.runs.map((run) => option(String(run.number), run.label)));
    const errors = index.kinds.map((name, k) => option(`main${k}`, `mostly ${name}`));
    const some = index.kinds.map((name, k) => option(`some${k}`, `some ${name}`)).slice(1);
    form.kind.append(option("", "any"), ...errors, ...some);
    form.sort.append(...[["", "as in the dataset"], ["worst", "worst first"], ["best", "best first"],
      ["apart", "methods differ most"]].map(([value, text]) => option(value, text)));
    byId("attributes").append(...index.attributes.map((attribute, i) =>
      element("label", {}, attribute.name.replaceAll("_", " "), element("select", { name: `a${i}` },
        option("", "any"), ...attribute.values.map((v, k) => option(String(k), v || "(none)"))))));
  }

  function chosenRun() {
    return index.runs.find((run) => String(run.number) === form.run.value) ?? index.runs[0];
  }

  function scoreOf(run, at) {
    return run?.scores[at]?.[0] ?? run?.iou[at] ?? null;
  }

  function apart(at) {
    const values = index.runs.map((run) => scoreOf(run, at)).filter((v) => v !== null);
    return values.length > 1 ? Math.max(...values) - Math.min(...values) : -1;
  }

  function isWanted(at) {
    const [video, , id, text, values] = index.sentences[at];
    const words = form.q.value.trim().toLowerCase();
    if (words && !`${text}\n${index.videos[video].id}\n${id}`.toLowerCase().includes(words)) return false;
    const run = chosenRun();
    const [, how, kind] = /^(main|some)(\d)$/.exec(form.kind.value) ?? [];
    if (how === "main" && run?.main[at] !== Number(kind)) return false;
    if (how === "some" && !run?.shares[at]?.[kind]) return false;
    return index.attributes.every((attribute, i) => {
      const wanted = form[`a${i}`].value;
      return wanted === "" || attribute.values[Number(wanted)] === values[i];
    });
  }

  function ordered(found) {
    const run = chosenRun();
    const by = { worst: (at) => scoreOf(run, at), best: (at) => -scoreOf(run, at), apart: (at) => -apart(at) };
    const value = by[form.sort.value];
    if (!value) return found;
    const known = (at) => scoreOf(run, at) !== null || form.sort.value === "apart";
    return found.sort((a, b) => (known(b) - known(a)) || (value(a) - value(b)) || (a - b));
  }

  function row(at) {
    const [number, , id, text] = index.sentences[at];
    const video = index.videos[number];
    const run = chosenRun();
    const main = run?.main[at];
    const picture = video.file
      ? element("img", { src: `${folder}/${video.file}/thumb.jpg`, alt: "", loading: "lazy", width: 64, height: 48 })
      : element("span");
    const score = element("span", { class: "score" }, percent(scoreOf(run, at)));
    if (main !== null && main !== undefined) {
      score.append(element("br"), element("span", { class: `dot kind${main}`, title: index.kinds[main] }),
        element("span", { class: "small" }, index.kinds[main]));
    }
    return element("li", { id: `s${at}`, role: "option", "aria-selected": String(at === player.state.at) },
      picture, element("span", {}, element("bdi", { class: "text" }, text || "(an empty sentence)"),
        element("span", { class: "soft small" }, element("bdi", {}, video.id), " ", element("bdi", {}, id))), score);
  }

  function fillList() {
    const start = page * PER_PAGE;
    const part = matches.slice(start, start + PER_PAGE);
    list.replaceChildren(...(part.length ? part.map(row)
      : [element("li", { class: "none", role: "option", "aria-disabled": "true" }, "No sentence fits the filters.")]));
    byId("count").textContent = matches.length
      ? `${start + 1} to ${start + part.length} of ${matches.length} (${index.sentences.length} in all)`
      : `none of ${index.sentences.length}`;
    byId("previous").disabled = page === 0;
    byId("next").disabled = start + PER_PAGE >= matches.length;
    mark();
  }

  function mark() {
    const at = player.state.at;
    for (const item of list.querySelectorAll("[role=option]")) {
      item.setAttribute("aria-selected", String(item.id === `s${at}`));
    }
    const item = byId(`s${at}`);
    if (item) {
      list.setAttribute("aria-activedescendant", item.id);
      const [box, around] = [item.getBoundingClientRect(), list.getBoundingClientRect()];
      if (box.top < around.top) list.scrollTop += box.top - around.top;
      if (box.bottom > around.bottom) list.scrollTop += box.bottom - around.bottom;
    } else {
      list.removeAttribute("aria-activedescendant");
    }
  }

  function filter() {
    matches = ordered(index.sentences.map((_, at) => at).filter(isWanted));
    page = 0;
    list.scrollTop = 0;
    fillList();
    if (matches.length && !matches.includes(player.state.at)) choose(matches[0]);
    else remember();
  }

  function choose(at, frame) {
    const place = matches.indexOf(at);
    const wanted = place < 0 ? page : Math.floor(place / PER_PAGE);
    player.show(at, frame);
    if (wanted !== page) {
      page = wanted;
      fillList();
    } else {
      mark();
    }
    remember();
  }

  function step(by) {
    const place = matches.indexOf(player.state.at);
    const next = matches[Math.min(Math.max(0, place + by), matches.length - 1)];
    if (next !== undefined) choose(next);
  }

  function turn(by) {
    const last = Math.max(0, Math.ceil(matches.length / PER_PAGE) - 1);
    page = Math.min(Math.max(0, page + by), last);
    list.scrollTop = 0;
    fillList();
  }

  // The address holds what is shown, so that a link leads back to it.
  function remember() {
    if (!remembering) return;
    const said = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) said.set(name, value.toWellFormed?.() ?? value);
    const { at, frame, truth, one, shown } = player.state;
    if (at >= 0) said.set("s", at);
    if (frame) said.set("f", frame);
    if (!truth) said.set("truth", 0);
    if (one) said.set("one", 1);
    said.set("shown", [...shown].join("."));
    history.replaceState(null, "", `#${said}`);
  }

  function recall() {
    const said = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of said) {
      const field = form.elements[name];
      if (field) field.value = value;
    }
    if (form.run.selectedIndex < 0) form.run.selectedIndex = 0;
    for (const select of form.querySelectorAll("select")) if (select.selectedIndex < 0) select.selectedIndex = 0;
    const wanted = said.has("shown") ? said.get("shown").split(".").map(Number)
      : [...new Set([chosenRun(), ...index.runs])].slice(0, SHOWN).map((run) => run?.number);
    player.state.shown = new Set(wanted.filter((n) => index.runs.some((run) => run.number === n)));
    player.state.truth = said.get("truth") !== "0";
    player.state.one = said.get("one") === "1";
    filter();
    const at = Number(said.get("s") ?? -1);
    if (index.sentences[at]) choose(at, Number(said.get("f") ?? 0) || 0);
  }

  const KEYS = {
    ArrowLeft: (event) => player.go(player.state.frame - (event.shiftKey ? 10 : 1)),
    ArrowRight: (event) => player.go(player.state.frame + (event.shiftKey ? 10 : 1)),
    Home: () => player.go(0),
    End: () => player.go(Infinity),
    k: () => step(-1),
    j: () => step(1),
    "[": () => turn(-1),
    "]": () => turn(1),
    p: () => player.play(),
    t: () => player.toggleTruth(),
    o: () => player.toggleOne(),
    "/": () => form.q.focus(),
    "?": () => byId("keys").showModal(),
  };

  function pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || byId("keys").open) return;
    const { target, key } = event;
    if (target.closest("input:not([type=range]), select, textarea")) return;
    const within = target === document.body || target.closest("#list, #player");
    let act = KEYS[key];
    if (/^[1-9]$/.test(key)) act = () => player.toggleRun(Number(key) - 1);
    if (within && key === "ArrowUp") act = () => step(-1);
    if (within && key === "ArrowDown") act = () => step(1);
    if (!act) return;
    event.preventDefault();
    act(event);
  }

  fillFilters();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("keys-button").addEventListener("click", () => byId("keys").showModal());
  list.addEventListener("click", (event) => {
    const item = event.target.closest("li[id]");
    if (item) choose(Number(item.id.slice(1)));
  });
  document.addEventListener("keydown", pressed);
  addEventListener("hashchange", recall);
  recall();
  remembering = true;
})();
