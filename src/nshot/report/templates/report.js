"use strict";
// The page is complete without this: it only lets a reader sort the tables.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const head of table.tHead.rows[0].cells) {
    if (head.dataset.fixed !== undefined || !head.textContent.trim()) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isUp = head.getAttribute("aria-sort") === "descending";
      const value = (row) => {
        const cell = row.cells[head.cellIndex];
        return cell.dataset.value ?? cell.textContent.trim();
      };
      const order = (a, b) => {
        const [left, right] = [value(a), value(b)];
        if (left === "" || right === "") return left === right ? 0 : left === "" ? 1 : -1;
        const [x, y] = [Number(left), Number(right)];
        const found = Number.isNaN(x) || Number.isNaN(y) ? left.localeCompare(right) : x - y;
        return isUp ? found : -found;
      };
      body.append(...[...body.rows].sort(order));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    });
  }
}
