"use strict";
// A run's page: its scores by video and by sentence.

(() => {
  const { element, percent } = refseg;
  const index = refseg.get("index");
  const run = refseg.get("run");
  const host = document.getElementById("items");
  const browse = document.querySelector("nav a[href*='#run=']").getAttribute("href").split("#")[0];
  const own = index.runs.find((r) => r.number === run.number);
  const known = new Map(index.sentences.map((s, i) => [JSON.stringify([index.videos[s[0]].id, s[2]]), i]));

  function text(value) {
    return element("bdi", {}, value);
  }

  function facts(video, expression) {
    const at = known.get(JSON.stringify([video, expression]));
    return at === undefined ? null : { at, said: index.sentences[at], main: own.main[at] };
  }

  function kind(main) {
    if (main === null || main === undefined) return "";
    return element("span", {}, element("span", { class: `dot kind${main}` }), index.kinds[main]);
  }

  function scores(protocol, offset) {
    return protocol.scores.map((title, i) => ({
      title, value: (row) => row[offset][i], show: (row) => percent(row[offset][i]),
    }));
  }

  function byVideo(protocol) {
    const videos = new Map();
    for (const [video, , values] of protocol.items) {
      if (!videos.has(video)) videos.set(video, []);
      videos.get(video).push(values);
    }
    const rows = [...videos].map(([video, all]) => [video, all.length, protocol.scores.map((_, i) => {
      const there = all.map((values) => values[i]).filter((v) => v !== null);
      return there.length ? there.reduce((a, b) => a + b, 0) / there.length : null;
    })]);
    return refseg.pagedTable(`By video: means of ${protocol.name}`, [
      { title: "video", left: true, value: (r) => r[0],
        show: (r) => element("a", { href: `${browse}#run=${run.number}&q=${encode(r[0])}` }, text(r[0])) },
      { title: "items", value: (r) => r[1], show: (r) => String(r[1]) },
      ...scores(protocol, 2),
    ], rows);
  }

  function encode(value) {
    // A lone surrogate has no address.
    return encodeURIComponent(value.toWellFormed ? value.toWellFormed() : value);
  }

  function bySentence(protocol) {
    const rows = protocol.items.map(([video, expression, values]) =>
      [video, expression, values, facts(video, expression)]);
    const said = (r) => (r[3] ? r[3].said[3] : "");
    return refseg.pagedTable(`By sentence: ${protocol.name}`, [
      { title: "video", left: true, value: (r) => r[0], show: (r) => text(r[0]) },
      { title: "id", left: true, value: (r) => r[1], show: (r) => text(r[1]) },
      { title: "sentence", left: true, class: "left said", value: said, show: (r) => (r[3]
        ? element("a", { href: `${browse}#run=${run.number}&s=${r[3].at}`, class: "clip" },
          text(said(r) || "(an empty sentence)")) : "") },
      ...scores(protocol, 2),
      { title: "mostly", left: true, value: (r) => (r[3]?.main == null ? null : index.kinds[r[3].main]),
        show: (r) => kind(r[3]?.main) },
    ], rows);
  }

  if (!run.protocols.length) host.append(element("p", { class: "soft" }, "No score."));
  for (const protocol of run.protocols) host.append(byVideo(protocol), bySentence(protocol));
})();
