/** Tooltips: what the table below says of the day under the pointer. */
export function charts() {
  for (const plot of document.querySelectorAll("[data-chart]")) {
    const card = plot.closest("figure").parentElement;
    const table = card.querySelector("[data-chart-table]");
    if (table) follow(plot, table, colours(plot));
  }
}

function colours(plot) {
  return [...plot.querySelectorAll("svg > path[class^=c]")].map((p) => p.getAttribute("class"));
}

function follow(plot, table, classes) {
  const svg = plot.querySelector("svg");
  const tip = plot.querySelector(".tip");
  const hover = plot.querySelector(".hover");
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows];

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const index = Math.min(rows.length - 1, Math.max(0, Math.floor(share * rows.length)));
    const width = 1000 / rows.length;
    hover.setAttribute("x", index * width);
    hover.setAttribute("width", width);
    fill(tip, rows[index], names, classes);
    tip.hidden = false;
    place(tip, plot, box.left + ((index + 0.5) / rows.length) * box.width);
  });
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
    hover.setAttribute("width", 0);
  });
}

function fill(tip, row, names, classes) {
  const [day, ...values] = [...row.cells].map((cell) => cell.textContent);
  const title = document.createElement("p");
  title.textContent = day;
  const list = document.createElement("ul");
  values.forEach((value, n) => {
    const isTotal = n === values.length - 1;
    if (isTotal && values.length === 2) return;
    const item = document.createElement("li");
    if (!isTotal) item.append(Object.assign(document.createElement("i"), { className: classes[n] }));
    const name = document.createElement("span");
    name.textContent = names[n + 1];
    const number = document.createElement("b");
    number.textContent = value;
    item.append(name, number);
    list.append(item);
  });
  tip.replaceChildren(title, list);
}

function place(tip, plot, x) {
  const box = plot.getBoundingClientRect();
  const left = x - box.left + 16;
  const fits = left + tip.offsetWidth <= box.width;
  tip.style.left = `${fits ? left : Math.max(0, x - box.left - 16 - tip.offsetWidth)}px`;
}
