"use strict";
// Tables that are sorted by a click on a column: those of the page, and long ones that are shown in parts.

(() => {
  const { element } = refseg;
  const PER_PAGE = 50;

  function compared(a, b, down) {
    const missing = (v) => v === null || v === undefined || v === "";
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return down ? -order : order;
  }

  function heads(row, sort) {
    [...row.cells].forEach((cell, column) => {
      if (cell.classList.contains("fixed")) return;
      const button = element("button", { type: "button", onclick: () => {
        const first = cell.classList.contains("left") ? "ascending" : "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        const now = cell.getAttribute("aria-sort") === first ? other : first;
        for (const each of row.cells) each.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", now);
        sort(column, now === "descending");
      } });
      button.append(...cell.childNodes);
      cell.append(button);
    });
  }

  function valueOf(cell) {
    if (!("value" in cell.dataset)) return cell.textContent.trim();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  }

  function sortable(table) {
    const body = table.tBodies[0];
    heads(table.tHead.rows[0], (column, down) => {
      const rows = [...body.rows];
      rows.sort((a, b) => compared(valueOf(a.cells[column]), valueOf(b.cells[column]), down));
      body.append(...rows);
    });
  }

  // columns: {title, left, value(row), show(row) -> node or text}; only a part of the rows is in the page.
  refseg.pagedTable = (caption, columns, rows) => {
    let order = [...rows];
    let start = 0;
    const body = element("tbody");
    const count = element("span", { role: "status" });
    const move = (by) => () => {
      start = Math.min(Math.max(0, start + by), Math.max(0, order.length - 1));
      fill();
    };
    const before = element("button", { type: "button", "aria-label": "Rows before", onclick: move(-PER_PAGE) }, "◀");
    const after = element("button", { type: "button", "aria-label": "Rows after", onclick: move(PER_PAGE) }, "▶");
    const fill = () => {
      body.replaceChildren(...order.slice(start, start + PER_PAGE).map((row) => element("tr", {},
        ...columns.map((c) => element("td", { class: c.class ?? (c.left ? "left" : null) }, c.show(row))))));
      const end = Math.min(start + PER_PAGE, order.length);
      count.textContent = order.length ? `${start + 1} to ${end} of ${order.length}` : "none";
      before.disabled = start === 0;
      after.disabled = end >= order.length;
    };
    const head = element("tr", {}, ...columns.map((c) =>
      element("th", { scope: "col", class: c.left ? "left" : null }, c.title)));
    heads(head, (column, down) => {
      order = [...rows].sort((a, b) => compared(columns[column].value(a), columns[column].value(b), down));
      start = 0;
      fill();
    });
    fill();
    return element("div", {},
      element("div", { class: "pager" }, count, before, after),
      element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
        element("table", {}, element("caption", {}, caption), element("thead", {}, head), body)));
  };

  document.querySelectorAll("table.sortable").forEach(sortable);
})();
