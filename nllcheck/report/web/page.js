"use strict";
const rows = [...document.querySelectorAll("#findings tbody tr")];
const articles = new Map(rows.map((row) => [row, document.getElementById(row.dataset.article)]));
const search = document.querySelector("#search");
const boxes = [...document.querySelectorAll("[data-severity]")];
const status = document.querySelector("#shown");

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.dataset.severity));
  let shown = 0;
  for (const row of rows) {
    const article = articles.get(row);
    const text = (row.textContent + " " + article.textContent).toLowerCase();
    const visible = wanted.has(row.dataset.level) && words.every((word) => text.includes(word));
    row.hidden = article.hidden = !visible;
    shown += visible;
  }
  status.textContent = `${shown} of ${rows.length} shown`;
}

function value(row, column) {
  const cell = row.children[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
}

function sort(header) {
  const column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const ordered = [...rows].sort((a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
  });
  const body = document.querySelector("#findings tbody");
  for (const row of ordered) {
    body.append(row);
    const article = articles.get(row);
    article.parentElement.append(article);
  }
}

if (search) {
  document.querySelector(".controls").hidden = false;
  search.addEventListener("input", filter);
  for (const box of boxes) box.addEventListener("change", filter);
  for (const button of document.querySelectorAll("#findings th button")) {
    button.addEventListener("click", () => sort(button.parentElement));
  }
  filter();
}
