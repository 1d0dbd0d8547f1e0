"use strict";

const form = document.querySelector(".filters");
const selects = [...form.querySelectorAll("select[data-field]")];
const words = form.querySelector("input[type=search]");
const sortBy = form.querySelector("select[data-sort]");
const body = document.querySelector("#table tbody");
const heads = [...document.querySelectorAll("#table thead th")];
const rows = [...body.rows];
const cards = [...document.querySelectorAll("details.clip")];
const status = document.querySelector(".count");

// -- filters ------------------------------------------------------------------------------------

function fits(element) {
  const text = words.value.trim().toLowerCase();
  return selects.every(({ value, dataset }) => !value || element.dataset[dataset.field] === value)
    && element.dataset.text.toLowerCase().includes(text);
}

function filter() {
  for (const element of [...rows, ...cards]) element.hidden = !fits(element);
  const left = rows.filter((row) => !row.hidden).length;
  const shown = cards.filter((card) => !card.hidden).length;
  status.textContent = `${left} of ${rows.length} clips, ${shown} of them with pictures and sound`;
  document.querySelector(".none").hidden = left > 0;
}

form.addEventListener("input", filter); // as words are typed
form.addEventListener("change", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.querySelector("button").addEventListener("click", () => { form.reset(); filter(); });

// -- sorting ------------------------------------------------------------------------------------

function valueOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  return (a > b) - (a < b); // also of infinities
}

function sort(column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = rows.map((row) => [valueOf(row, column), row]);
  // Missing values come last in both directions.
  keyed.sort(([a], [b]) => Number.isNaN(a) - Number.isNaN(b) || sign * compare(a, b));
  body.append(...keyed.map(([, row]) => row));
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", direction);
  sortBy.value = String(column);
}

function usualDirection(column) {
  return heads[column].dataset.direction;
}

heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
  const before = head.getAttribute("aria-sort");
  const turned = before === "ascending" ? "descending" : "ascending";
  sort(column, before ? turned : usualDirection(column));
}));
sortBy.addEventListener("change", () => {
  sort(Number(sortBy.value), usualDirection(Number(sortBy.value)));
});

// -- players ------------------------------------------------------------------------------------

const audios = [...document.querySelectorAll("audio")];

function picturesOf(audio) {
  return audio.closest(".body").querySelector(".pictures");
}

function follow(audio) {
  const pictures = picturesOf(audio);
  const at = 100 * audio.currentTime / Number(pictures.dataset.seconds);
  for (const cursor of pictures.querySelectorAll(".cursor")) {
    cursor.hidden = false;
    cursor.style.left = `${Math.min(at, 100)}%`;
  }
  if (!audio.paused) requestAnimationFrame(() => follow(audio));
}

for (const audio of audios) {
  audio.addEventListener("play", () => {
    for (const other of audios) if (other !== audio) other.pause();
    follow(audio);
  });
  audio.addEventListener("seeked", () => follow(audio));
}

for (const screen of document.querySelectorAll(".screen")) {
  screen.addEventListener("click", (event) => { // play from there
    const own = [...screen.closest(".body").querySelectorAll("audio")];
    const audio = own.find((each) => !each.paused) ?? own[0];
    if (!audio) return;
    const { left, width } = screen.getBoundingClientRect();
    const seconds = Number(screen.closest(".pictures").dataset.seconds);
    audio.play().then(() => { audio.currentTime = (event.clientX - left) / width * seconds; });
  });
}

// -- links from the table, and paper ------------------------------------------------------------

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.hidden = false;
  target.open = true;
  target.querySelector("summary").focus({ preventScroll: true });
  target.scrollIntoView();
}

addEventListener("hashchange", openTarget);
addEventListener("beforeprint", () => { for (const card of cards) card.open = true; });
filter();
openTarget();
