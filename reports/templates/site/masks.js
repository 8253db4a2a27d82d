"use strict";
// Masks: COCO's compressed run lengths (rleFrString of pycocotools' maskApi.c), and how they are drawn.

(() => {
  const FILL = 0.4;

  function runLengths(counts) {
    const runs = [];
    for (let at = 0; at < counts.length;) {
      let value = 0;
      let shift = 0;
      let code;
      do {
        code = counts.charCodeAt(at++) - 48;
        value |= (code & 0x1f) << shift;
        shift += 5;
      } while (code & 0x20);
      if (code & 0x10) value |= -1 << shift;
      if (runs.length > 2) value += runs[runs.length - 2];
      runs.push(value);
    }
    return runs;
  }

  // Returns H*W bytes in rows, 1 inside; runs go down the columns, the first is outside.
  function decode(counts, height, width) {
    const mask = new Uint8Array(height * width);
    let at = 0;
    let inside = 0;
    for (const length of runLengths(counts)) {
      if (inside) {
        for (let i = at; i < at + length; i++) mask[(i % height) * width + Math.floor(i / height)] = 1;
      }
      at += length;
      inside = 1 - inside;
    }
    return mask;
  }

  // A pixel near the mask's edge; the picture's border is no edge.
  function isEdge(mask, height, width, y, x, reach) {
    const at = y * width + x;
    return (x >= reach && !mask[at - reach]) || (x + reach < width && !mask[at + reach])
      || (y >= reach && !mask[at - reach * width]) || (y + reach < height && !mask[at + reach * width]);
  }

  // Returns a canvas of the mask's own size: a see-through fill (or none) and a contour.
  function painted(counts, [height, width], [red, green, blue], fill = FILL) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = image.data;
    const inside = Math.round(255 * fill);
    const mask = decode(counts, height, width);
    const reach = Math.max(1, Math.round(width / 320));
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = y * width + x;
        if (!mask[at]) continue;
        pixels[4 * at] = red;
        pixels[4 * at + 1] = green;
        pixels[4 * at + 2] = blue;
        pixels[4 * at + 3] = isEdge(mask, height, width, y, x, reach) ? 255 : inside;
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }

  refseg.masks = { decode, painted };
})();
