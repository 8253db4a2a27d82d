"use strict";
// The viewer of one sentence: frames, masks of several methods and of the truth, and what each frame's mask is.

(() => {
  const { element } = refseg;
  // Okabe and Ito's colours; the truth has one of its own.
  const COLOURS = [[86, 180, 233], [230, 159, 0], [204, 121, 167], [240, 228, 66], [213, 94, 0], [0, 114, 178]];
  const TRUTH = [0, 208, 132];
  const KEPT_SHEETS = 24;
  const LEAST_WIDTH = 384;
  const MILLISECONDS = 160;
  const byId = (id) => document.getElementById(id);

  refseg.player = (index, folder, changed) => {
    const state = { at: -1, frame: 0, truth: true, one: false, shown: new Set(), timer: 0 };
    const sheets = new Map();
    let video = null;
    let data = null;

    function colour(run) {
      return COLOURS[index.runs.indexOf(run) % COLOURS.length];
    }

    function css([red, green, blue]) {
      return `rgb(${red}, ${green}, ${blue})`;
    }

    function sheet(number) {
      const source = `${folder}/${video.file}/${number}.jpg`;
      if (!sheets.has(source)) {
        const image = new Image();
        image.onload = draw;
        image.src = source;
        sheets.set(source, image);
        if (sheets.size > KEPT_SHEETS) sheets.delete(sheets.keys().next().value);
      }
      return sheets.get(source);
    }

    function drawFrame(canvas) {
      const [height, width] = video.frame;
      const factor = Math.max(1, Math.ceil(LEAST_WIDTH / width));
      [canvas.width, canvas.height] = [width * factor, height * factor];
      const image = sheet(Math.floor(state.frame / index.perSheet));
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      byId("panels").setAttribute("aria-busy", String(!image.complete));
      if (image.complete && image.naturalWidth) {
        const top = (state.frame % index.perSheet) * height;
        context.drawImage(image, 0, top, width, height, 0, 0, canvas.width, canvas.height);
      }
      return context;
    }

    function drawMask(context, counts, rgb, fill) {
      if (!counts) return;
      const mask = refseg.masks.painted(counts, video.size, rgb, fill);
      context.drawImage(mask, 0, 0, context.canvas.width, context.canvas.height);
    }

    function drawBox(context, box, rgb) {
      if (!box) return;
      const scale = context.canvas.width / video.size[1];
      const [left, top, right, bottom] = box.map((v) => v * scale);
      for (const [style, width] of [["#000", 4], [css(rgb), 2]]) {
        context.strokeStyle = style;
        context.lineWidth = width;
        context.strokeRect(left, top, right - left, bottom - top);
      }
    }

    function local() {
      return index.sentences[state.at][1];
    }

    function truthMask() {
      const number = data.truth[local()];
      return number === null ? null : data.truths[number][state.frame];
    }

    function drawRun(context, run) {
      const of = data.runs[run.number];
      if (!of) return;
      drawMask(context, of.masks[local()]?.[state.frame], colour(run));
      drawBox(context, of.boxes[local()]?.[state.frame], colour(run));
    }

    function said(run) {
      const of = data.runs[run.number];
      if (!of?.masks[local()]) return `${run.label}: no prediction`;
      const kinds = of.kinds[local()];
      if (!kinds) return run.label;
      return `${run.label}: ${index.kinds[kinds[state.frame]]}, IoU ${of.iou[local()][state.frame]} %`;
    }

    function panel(caption, label) {
      return element("figure", {}, element("canvas", { role: "img", "aria-label": label }),
        element("figcaption", {}, caption));
    }

    function panels() {
      const shown = index.runs.filter((run) => state.shown.has(run.number));
      const truth = state.truth && data.truth[local()] !== null;
      const list = [];
      if (state.one) {
        const names = [...(truth ? ["truth (outline)"] : []), ...shown.map(said)].join(" · ");
        list.push([names, (context) => {
          shown.forEach((run) => drawRun(context, run));
          if (truth) drawMask(context, truthMask(), TRUTH, 0);
        }]);
      } else {
        if (truth) list.push(["truth", (context) => drawMask(context, truthMask(), TRUTH)]);
        for (const run of shown) list.push([said(run), (context) => drawRun(context, run)]);
        if (!list.length) list.push(["the frame alone", () => {}]);
      }
      return list;
    }

    function draw() {
      if (!data || !video?.file) return;
      const list = panels();
      const host = byId("panels");
      // Canvases are kept from frame to frame, so that nothing flickers and no focus is lost.
      while (host.children.length > list.length) host.lastChild.remove();
      while (host.children.length < list.length) host.append(panel("", ""));
      list.forEach(([caption, paint], i) => {
        const [canvas, text] = host.children[i].children;
        canvas.setAttribute("aria-label", `Frame ${state.frame + 1}, ${caption}`);
        text.textContent = caption;
        paint(drawFrame(canvas));
      });
      byId("frame").value = state.frame;
      byId("at").textContent = `frame ${state.frame + 1} of ${video.shown} (${data.frames[state.frame]})`;
      for (const now of document.querySelectorAll(".timelines .now")) {
        now.style.left = `calc(${(100 * (state.frame + 0.5)) / video.shown}% - 1px)`;
      }
    }

    function figures(run) {
      const values = run.scores[state.at] ?? [];
      return values.map((v, i) => `${index.scores[i]} ${refseg.percent(v)}`).join("  ");
    }

    function track(run, kinds) {
      const step = 100 / kinds.length;
      const stops = [...kinds].map((k, i) => `var(--kind${k}) ${i * step}% ${(i + 1) * step}%`);
      const counts = index.kinds.map((name, k) => [name, [...kinds].filter((c) => c === String(k)).length]);
      const counted = counts.filter(([, n]) => n).map(([name, n]) => `${name} ${n}`).join(", ");
      const made = element("div", { class: "track", role: "img", "aria-label": `${run.label}: ${counted}`,
        title: counted, onclick: (event) => {
          const box = made.getBoundingClientRect();
          go(Math.floor(((event.clientX - box.left) / box.width) * video.shown));
        } }, element("div", { class: "now" }));
      made.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
      return made;
    }

    function timeline(run) {
      const kinds = data.runs[run.number]?.kinds[local()];
      return [element("span", { class: "name", title: run.label }, run.label),
        kinds ? track(run, kinds) : element("span"), element("span", { class: "figures" }, figures(run))];
    }

    function timelines() {
      const shown = index.runs.filter((run) => state.shown.has(run.number));
      byId("timelines").replaceChildren(...shown.flatMap(timeline));
      const judged = shown.some((run) => data.runs[run.number]?.kinds[local()]);
      byId("legend").replaceChildren(...(judged ? index.kinds.map((name, k) =>
        element("span", {}, element("span", { class: `dot kind${k}` }), name)) : []));
    }

    function toggles() {
      const button = (label, key, pressed, rgb, toggle) => {
        const swatch = element("span", { class: "swatch" });
        if (rgb) swatch.style.background = css(rgb);
        return element("button", { type: "button", "aria-pressed": String(pressed), "aria-keyshortcuts": key,
          onclick: toggle }, ...(rgb ? [swatch] : []), `${label} [${key}]`);
      };
      const runs = index.runs.map((run, i) => button(run.label, i < 9 ? String(i + 1) : "–",
        state.shown.has(run.number), colour(run), () => toggleRun(i)));
      byId("methods").replaceChildren(button("truth", "t", state.truth, TRUTH, toggleTruth), ...runs,
        button("one picture", "o", state.one, null, toggleOne));
    }

    function refresh() {
      const focused = [...byId("methods").children].indexOf(document.activeElement);
      toggles();
      if (focused >= 0) byId("methods").children[focused].focus();
      if (!data) return;
      timelines();
      draw();
      changed();
    }

    function toggleRun(i) {
      const run = index.runs[i];
      if (!run) return;
      if (!state.shown.delete(run.number)) state.shown.add(run.number);
      refresh();
    }

    function toggleTruth() {
      state.truth = !state.truth;
      refresh();
    }

    function toggleOne() {
      state.one = !state.one;
      refresh();
    }

    function go(frame) {
      if (!video) return;
      state.frame = Math.min(Math.max(0, frame), video.shown - 1);
      draw();
      changed();
    }

    function play(on = !state.timer) {
      clearInterval(state.timer);
      state.timer = on && video ? setInterval(() => go((state.frame + 1) % video.shown), MILLISECONDS) : 0;
      byId("play").textContent = state.timer ? "Stop" : "Play";
      byId("play").setAttribute("aria-pressed", String(Boolean(state.timer)));
    }

    function describe() {
      const [number, , id, text, values] = index.sentences[state.at];
      const attributes = index.attributes.map((a, i) => [a.name, values[i]]).filter(([, v]) => v !== "");
      byId("sentence").replaceChildren(element("bdi", {}, text || "(an empty sentence)"));
      byId("facts").replaceChildren("video ", element("bdi", {}, index.videos[number].id), ", expression ",
        element("bdi", {}, id), ...attributes.map(([n, v]) => ` · ${n.replaceAll("_", " ")}: ${v}`));
    }

    function without(text, kind) {
      byId("panels").replaceChildren(element("p", { class: kind }, text));
      byId("panels").setAttribute("aria-busy", "false");
      byId("timelines").replaceChildren();
    }

    async function show(at, frame = 0) {
      const next = index.videos[index.sentences[at][0]];
      const other = next !== video;
      [state.at, video] = [at, next];
      describe();
      byId("frame").max = Math.max(0, video.shown - 1);
      if (!video.file) {
        data = null;
        without("No picture of this video.", "soft");
        return;
      }
      if (other || !data) {
        data = null;
        try {
          const loaded = await refseg.load(video.file, `${folder}/${video.file}.js`);
          if (state.at !== at) return;
          data = loaded;
        } catch (error) {
          without(`${error.message}.`, "warn");
          return;
        }
        byId("panels").replaceChildren();
      }
      state.frame = Math.min(frame, video.shown - 1);
      refresh();
    }

    byId("frame").addEventListener("input", (event) => go(Number(event.target.value)));
    byId("play").addEventListener("click", () => play());
    toggles();
    return { state, show, go, play, toggleRun, toggleTruth, toggleOne, refresh };
  };
})();
