"use strict";

const LEAST_WIDTH = 250, LEAST_WIDTH_PHONE = 150, GAP = 16, CAPTION = 68, CAPTION_PHONE = 92, SPARE_ROWS = 3;
const MOST_TAGS = 24, MOST_TYPES = 300, SOME_FAILURES = 100, MOST_LABELS = 12, COLOURS = 8;
const SVG = "http://www.w3.org/2000/svg";
const TOLD = new Set(["title", "description", "alt", "tags", "tag_scores", "objects", "certainty"]);
const REVIEWS = [
  ["", "All"], ["none", "Not reviewed"], ["approved", "Approved"], ["edited", "Edited"], ["rejected", "Rejected"],
];
const CERTAINTIES = [
  ["", "All"], ["sure", "Sure"], ["unsure", "Unsure"], ["unrecognised", "Not recognised"], ["doubt", "Unsure or not recognised"],
];

const place = (id) => document.getElementById(id);
const reviewer = globalThis.olpipeReview; // what makes the page one to review in; undefined where nobody takes changes
const about = JSON.parse(place("data").textContent);
const numbers = new Intl.NumberFormat("en");
const photos = [], failures = [];
const byFile = new Map();
const filter = {words: [], tags: new Set(), type: "", score: 0, certainty: "", review: "", order: "name"};
let shown = []; // the photos that fit the filters, in their order
let current = 0; // the place of the card that the keyboard is at
let view = "photos", mostFailures = SOME_FAILURES;
let opened = null, chosen = null;

// --- small things -----------------------------------------------------------------------------

/** Make an element. Whatever a record says becomes text or an attribute, never HTML. */
function make(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

const count = (number, noun) => `${numbers.format(number)} ${noun}${number === 1 ? "" : "s"}`;
const list = (value) => (Array.isArray(value) ? value : []);
const isText = (value) => typeof value === "string" && value !== "";
const later = (() => {
  const waiting = new Set();
  return (work) => {
    if (waiting.has(work)) return;
    waiting.add(work);
    requestAnimationFrame(() => { waiting.delete(work); work(); });
  };
})();

/** Return a text as it is compared: without accents of Latin letters, and in small letters. */
function fold(text) {
  return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
}

/** Yield every text in a value, however deep it lies. */
function* texts(value) {
  if (typeof value === "string") yield value;
  else if (value && typeof value === "object") for (const inner of Object.values(value)) yield* texts(inner);
}

function colour(type) {
  let sum = 0;
  for (const letter of type) sum = (sum * 31 + letter.codePointAt(0)) % 65521;
  return `k${sum % COLOURS}`;
}

// --- the photos -------------------------------------------------------------------------------

const placed = (one) => ({...one, score: one.score ?? null, boxed: ["x", "y", "w", "h"].every((side) => Number.isFinite(one[side]))});

function photoOf(entry) {
  const values = entry.values;
  const scores = list(values.tag_scores);
  const tags = list(values.tags).filter(isText).map((name, at) => ({name, score: scores[at] ?? null}));
  const objects = list(values.objects).filter((one) => one && isText(one.type))
    .map(placed);
  const read = list(values.text).filter((one) => one && isText(one.text)).map((one) => placed({...one, type: one.text}));
  const known = [...tags, ...objects].map((one) => one.score).filter((score) => score !== null);
  return {
    ...entry, tags, objects, read, values,
    thumbnail: `index_files/${about.thumbnails}/${entry.thumbnail.slice(0, 2)}/${entry.thumbnail.slice(2)}.jpg`,
    best: known.length ? Math.max(...known) : null,
    folded: fold([entry.file, ...texts(values)].join("\n")),
    alt: isText(values.alt) ? values.alt : isText(values.description) ? values.description : entry.file,
    title: isText(values.title) ? values.title : entry.file,
  };
}

const enough = (one) => one.score === null || one.score >= filter.score;

function fits(photo) {
  const {words, tags, type, score, certainty, review} = filter;
  if (review && review !== (photo.review ?? "none")) return false;
  if (certainty && (certainty === "doubt" ? !["unsure", "unrecognised"].includes(photo.values.certainty) : photo.values.certainty !== certainty)) return false;
  if (score > 0 && !(photo.best !== null && photo.best >= score)) return false;
  if (!words.every((word) => photo.folded.includes(word))) return false;
  if (type && !photo.objects.some((one) => one.type === type && enough(one))) return false;
  for (const tag of tags) if (!photo.tags.some((one) => one.name === tag && enough(one))) return false;
  return true;
}

const byName = (one, other) => one.rank - other.rank;
const ORDERS = {
  name: byName,
  doubt: (one, other) => (one.best ?? -1) - (other.best ?? -1) || byName(one, other),
  objects: (one, other) => other.objects.length - one.objects.length || byName(one, other),
};

/** Number the photos by their names, so that sorting need not compare texts. */
function rank() {
  const {compare} = new Intl.Collator("en", {numeric: true});
  photos.sort((one, other) => compare(one.file, other.file)).forEach((photo, at) => { photo.rank = at; });
}

/** Find the photos that fit, and show them. */
function refresh() {
  const focused = shown[current];
  shown = photos.filter(fits).sort(ORDERS[filter.order]);
  current = Math.max(0, shown.indexOf(focused));
  const all = photos.length;
  const isFiltered = filter.words.length || filter.tags.size || filter.type || filter.score || filter.certainty || filter.review;
  place("clear").hidden = !isFiltered;
  place("filtered").textContent = isFiltered ? " (in use)" : "";
  const lost = failures.filter((one) => filter.words.every((word) => one.folded.includes(word)));
  place("views").hidden = !failures.length;
  place("view-failures").textContent = `Failures (${numbers.format(failures.length)})`;
  const onPhotos = view === "photos";
  place("status").textContent = onPhotos
    ? (shown.length === all ? count(all, "photo") : `${numbers.format(shown.length)} of ${count(all, "photo")}`)
    : (lost.length === failures.length ? count(lost.length, "failure") : `${numbers.format(lost.length)} of ${count(failures.length, "failure")}`);
  place("nothing").hidden = (onPhotos ? shown : lost).length > 0;
  place("photos").hidden = !onPhotos;
  place("failures").hidden = onPhotos;
  place("order-field").hidden = !onPhotos;
  showFailures(onPhotos ? [] : lost);
  showTags();
  showProgress();
  cards.forEach((card) => card.remove());
  cards.clear();
  layOut();
}

// --- the list of cards: only those near the window are in the page ------------------------------

const cards = new Map(); // by their place in `shown`
let columns = 1, cardWidth = 0, rowHeight = 0;

function layOut() {
  const width = place("photos").clientWidth;
  if (!width) return;
  const isNarrow = innerWidth < 560;
  const least = isNarrow ? LEAST_WIDTH_PHONE : LEAST_WIDTH;
  columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
  cardWidth = Math.floor((width - GAP * (columns - 1)) / columns);
  rowHeight = Math.round(cardWidth * 0.75) + (isNarrow ? CAPTION_PHONE : CAPTION) + GAP;
  place("photos").classList.toggle("narrow", isNarrow);
  place("photos").style.height = `${Math.max(0, Math.ceil(shown.length / columns) * rowHeight - GAP)}px`;
  showCards();
}

/** Return the places of the first and the last card that should be in the page. */
function near(spare) {
  const top = place("photos").getBoundingClientRect().top;
  const first = Math.floor(-top / rowHeight) - spare, last = Math.floor((innerHeight - top) / rowHeight) + spare;
  return [Math.max(0, first * columns), Math.min(shown.length, (last + 1) * columns)];
}

function showCards() {
  if (!rowHeight || view !== "photos") return;
  const [first, end] = near(SPARE_ROWS);
  const active = document.activeElement?.closest?.("#photos li");
  if (!active && (current < first || current >= end)) current = Math.min(Math.max(0, near(0)[0]), Math.max(0, shown.length - 1));
  const wanted = new Set([current]); // the card with the focus stays, wherever it is
  for (let at = first; at < end; at += 1) wanted.add(at);
  for (const [at, card] of cards)
    if (!wanted.has(at)) { card.remove(); cards.delete(at); }
  for (const at of [...wanted].sort((one, other) => one - other)) {
    if (at >= shown.length) continue;
    let card = cards.get(at);
    if (!card) {
      card = makeCard(shown[at], at);
      cards.set(at, card);
      const after = [...cards.keys()].filter((other) => other > at).sort((one, other) => one - other)[0];
      place("photos").insertBefore(card, after === undefined ? null : cards.get(after));
    }
    card.style.width = `${cardWidth}px`;
    card.style.height = `${rowHeight - GAP}px`;
    card.style.transform = `translate(${(at % columns) * (cardWidth + GAP)}px, ${Math.floor(at / columns) * rowHeight}px)`;
    card.firstChild.tabIndex = at === current ? 0 : -1;
  }
}

function makeCard(photo, at) {
  const image = make("img", {alt: photo.alt, lang: about.language, decoding: "async", src: photo.thumbnail});
  const picture = make("div", {class: "picture"}, image, drawing(photo));
  const certainty = photo.values.certainty;
  if (certainty === "unsure" || certainty === "unrecognised")
    picture.append(make("span", {class: "badge"}, certainty === "unsure" ? "unsure" : "not recognised"));
  if (photo.review) picture.append(make("span", {class: `badge review ${photo.review}`}, photo.review));
  const tags = photo.tags.filter(enough).map((tag) => tag.name).join(" · ");
  const caption = make("div", {class: "caption", lang: about.language},
    make("span", {class: "name", dir: "auto"}, photo.title), make("span", {class: "under", dir: "auto"}, tags || photo.file));
  const link = make("a", {class: "card", href: address(photo)}, picture, caption);
  return make("li", {"aria-setsize": shown.length, "aria-posinset": at + 1}, link);
}

/** Draw the boxes of a card. The drawing is fitted like the thumbnail, and counts in the photo's pixels. */
function drawing(photo) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${photo.width} ${photo.height}`);
  svg.setAttribute("preserveAspectRatio", "xMidYMid meet");
  svg.setAttribute("aria-hidden", "true");
  for (const one of photo.objects.filter((thing) => thing.boxed && enough(thing)))
    for (const name of ["under", "over"]) {
      const rect = document.createElementNS(SVG, "rect");
      for (const [key, side] of [["x", "x"], ["y", "y"], ["width", "w"], ["height", "h"]]) rect.setAttribute(key, one[side]);
      rect.setAttribute("class", `${name} ${colour(one.type)}`);
      svg.append(rect);
    }
  return svg;
}

/** Move the keyboard to another card. */
function go(to) {
  if (!shown.length) return;
  current = Math.min(Math.max(0, to), shown.length - 1);
  const top = place("photos").getBoundingClientRect().top + Math.floor(current / columns) * rowHeight;
  const head = getComputedStyle(document.querySelector("header")).position === "sticky" ? document.querySelector("header").offsetHeight : 0;
  if (top < head + GAP) scrollBy(0, top - head - GAP);
  else if (top + rowHeight > innerHeight) scrollBy(0, top + rowHeight - innerHeight);
  showCards();
  cards.get(current)?.firstChild.focus({preventScroll: true});
}

place("photos").addEventListener("keydown", (event) => {
  const rows = Math.max(1, Math.floor(innerHeight / rowHeight) - 1);
  const steps = {
    ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -columns * rows, PageDown: columns * rows,
    Home: -Infinity, End: Infinity,
  };
  if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  go(current + steps[event.key]);
});
place("photos").addEventListener("focusin", (event) => {
  const card = event.target.closest("li");
  if (!card) return;
  current = Number(card.getAttribute("aria-posinset")) - 1;
  for (const [at, other] of cards) other.firstChild.tabIndex = at === current ? 0 : -1;
});

// --- filters ----------------------------------------------------------------------------------

/** Count the values of the photos, the most frequent first. */
function counted(some, values) {
  const counts = new Map();
  for (const photo of some) for (const value of new Set(values(photo))) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
}

function showTags() {
  const words = fold(place("tag-words").value.trim());
  const counts = counted(shown, (photo) => photo.tags.filter(enough).map((tag) => tag.name));
  const found = counts.filter(([name]) => !filter.tags.has(name) && fold(name).includes(words));
  const picked = [...filter.tags].map((name) => [name, counts.find((one) => one[0] === name)?.[1] ?? 0]);
  const focused = document.activeElement?.closest?.("#tags button")?.value;
  place("tags").replaceChildren(...[...picked, ...found.slice(0, MOST_TAGS)].map(([name, number]) => make("li", {}, tagButton(name, number))));
  if (focused !== undefined) [...place("tags").querySelectorAll("button")].find((one) => one.value === focused)?.focus();
  const left = found.length - MOST_TAGS;
  place("more-tags").textContent = left > 0 ? `${count(left, "more tag")}: type to find one` : "";
}

function tagButton(name, note) {
  const button = make("button", {type: "button", value: name, "aria-pressed": filter.tags.has(name)},
    make("span", {lang: about.language, dir: "auto"}, name));
  if (note !== null) button.append(make("small", {}, typeof note === "number" && Number.isInteger(note) && note > 1 ? numbers.format(note) : String(note)));
  return button;
}

function toggleTag(name) {
  if (!filter.tags.delete(name)) filter.tags.add(name);
  refresh();
}

/** Fill the lists of what can be chosen, once all photos are there. */
function offer() {
  const types = counted(photos, (photo) => photo.objects.map((one) => one.type)).slice(0, MOST_TYPES);
  place("type").replaceChildren(new Option("Any", ""), ...types.map(([name, number]) => new Option(`${name} (${numbers.format(number)})`, name)));
  place("type-field").hidden = !types.length;
  const certain = new Map(counted(photos, (photo) => [photo.values.certainty].filter(isText)));
  certain.set("", photos.length).set("doubt", (certain.get("unsure") ?? 0) + (certain.get("unrecognised") ?? 0));
  place("certainty").replaceChildren(...CERTAINTIES.filter(([value]) => !value || certain.get(value))
    .map(([value, name]) => new Option(`${name} (${numbers.format(certain.get(value))})`, value)));
  place("certainty-field").hidden = !photos.some((photo) => isText(photo.values.certainty));
  offerReviews();
  place("score-field").hidden = !photos.some((photo) => photo.best !== null);
  place("tags-field").hidden = !photos.some((photo) => photo.tags.length);
}

function offerReviews() {
  const numbered = new Map(counted(photos, (photo) => [photo.review ?? "none"])).set("", photos.length);
  const chosen = place("review").value;
  place("review").replaceChildren(...REVIEWS.map(([value, name]) => new Option(`${name} (${numbers.format(numbered.get(value) ?? 0)})`, value)));
  place("review").value = chosen;
  place("review-field").hidden = !reviewer && !photos.some((photo) => photo.review);
}

/** Say how many photos people have reviewed. The share is that of what they found right as it was. */
function showProgress() {
  const one = (state) => photos.filter((photo) => photo.review === state).length;
  const [approved, edited, rejected] = ["approved", "edited", "rejected"].map(one);
  const reviewed = approved + edited + rejected;
  place("progress").hidden = !reviewer && !reviewed;
  const share = reviewed ? `, ${Math.round((approved / reviewed) * 100)}% of those reviewed` : "";
  place("progress").textContent = `${numbers.format(reviewed)} of ${numbers.format(photos.length)} reviewed: `
    + `${numbers.format(approved)} approved${share} · ${numbers.format(edited)} edited · ${numbers.format(rejected)} rejected`;
}

function readFilters() {
  filter.words = fold(place("words").value).split(/\s+/).filter(Boolean);
  filter.type = place("type").value;
  filter.certainty = place("certainty").value;
  filter.review = place("review").value;
  filter.score = Number(place("score").value);
  filter.order = place("order").value;
  place("least").textContent = place("score").value;
  mostFailures = SOME_FAILURES;
  scrollTo(0, Math.min(scrollY, place("list").offsetTop));
  refresh();
}

for (const id of ["words", "type", "certainty", "review", "score", "order"])
  place(id).addEventListener("input", () => later(readFilters));
place("search").addEventListener("submit", (event) => event.preventDefault());
place("tag-words").addEventListener("input", () => later(showTags));
place("tags").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) toggleTag(button.value);
});
place("draw").addEventListener("input", () => document.body.classList.toggle("undrawn", !place("draw").checked));
place("clear").addEventListener("click", () => {
  for (const id of ["words", "type", "certainty", "review", "tag-words"]) place(id).value = "";
  place("score").value = 0;
  filter.tags.clear();
  readFilters();
  place("words").focus();
});

// --- failures ---------------------------------------------------------------------------------

function showFailures(some) {
  place("failures").replaceChildren(...some.slice(0, mostFailures).map((one) => make("li", {},
    make("h2", {dir: "auto"}, one.file), make("p", {}, one.message), ...(one.hint ? [make("p", {class: "hint"}, one.hint)] : []),
    make("p", {class: "hint"}, `kind: ${one.kind}`))));
  place("more-failures").hidden = some.length <= mostFailures;
}

for (const name of ["photos", "failures"])
  place(`view-${name}`).addEventListener("click", () => {
    view = name;
    for (const other of ["photos", "failures"]) place(`view-${other}`).setAttribute("aria-pressed", other === name);
    refresh();
  });
place("more-failures").addEventListener("click", () => { mostFailures += SOME_FAILURES; refresh(); });

// --- one photo --------------------------------------------------------------------------------

const address = (photo) => `#photo=${encodeURIComponent(photo.file)}`;

/** Show what the address names: a photo, or the list. */
function follow() {
  const name = /^#photo=(.*)$/s.exec(location.hash)?.[1];
  let photo;
  try {
    photo = name === undefined ? undefined : byFile.get(decodeURIComponent(name));
  } catch { /* the address was changed by hand */ }
  if (photo) return open(photo);
  if (place("detail").open) place("detail").close();
}

function open(photo) {
  const isSame = opened === photo;
  opened = photo;
  chosen = null;
  const at = shown.indexOf(photo);
  place("place").textContent = at < 0 ? "" : `${numbers.format(at + 1)} of ${numbers.format(shown.length)}`;
  place("previous").disabled = at <= 0;
  place("next").disabled = at < 0 || at + 1 >= shown.length;
  place("title").textContent = photo.title;
  place("title").lang = about.language;
  if (!isSame) showPicture(photo);
  showBoxes(photo);
  place("texts").replaceChildren(...said(photo));
  reviewer?.opened(photo);
  place("file").replaceChildren("File: ", make("a", {href: photo.href, target: "_blank", rel: "noopener"}, make("bdi", {}, photo.file)),
    ` (${photo.width} × ${photo.height})`);
  if (!place("detail").open) place("detail").showModal();
  place("panel").scrollTop = 0;
}

/** Show the thumbnail at once, and the photo itself as soon as it is there, if the browser can show it upright. */
function showPicture(photo) {
  const image = place("shown"), frame = place("frame"), whole = new Image();
  frame.style.setProperty("--ratio", photo.width / photo.height);
  frame.style.setProperty("--width", photo.width);
  image.alt = photo.alt;
  image.lang = about.language;
  image.src = photo.thumbnail;
  place("unshown").hidden = true;
  whole.addEventListener("load", () => {
    if (opened !== photo) return;
    const isAsDescribed = Math.abs(whole.naturalWidth / whole.naturalHeight / (photo.width / photo.height) - 1) < 0.05;
    place("unshown").hidden = isAsDescribed;
    if (isAsDescribed) image.src = whole.src;
  });
  whole.addEventListener("error", () => { if (opened === photo) place("unshown").hidden = false; });
  if (photo.archived) place("unshown").hidden = false;
  else whole.src = photo.href;
}

function showBoxes(photo) {
  const things = photo.objects.filter((one) => one.boxed && enough(one));
  if (photo.read.includes(chosen)) things.push(chosen);
  place("boxes").className = [things.length > MOST_LABELS ? "crowded" : "", chosen === null ? "" : "choosing"].join(" ");
  place("boxes").replaceChildren(...things.map((one) => {
    const box = make("div", {class: `${colour(one.type)}${one === chosen ? " chosen" : ""}`}, make("span", {dir: "auto"}, one.type));
    box.style.left = `${(one.x / photo.width) * 100}%`;
    box.style.top = `${(one.y / photo.height) * 100}%`;
    box.style.width = `${(one.w / photo.width) * 100}%`;
    box.style.height = `${(one.h / photo.height) * 100}%`;
    return box;
  }));
}

/** Return what a record says, a heading for each thing. */
function said(photo) {
  const {values} = photo, parts = [];
  const part = (name, ...inside) => parts.push(make("h3", {}, name), ...inside);
  const text = (value) => make("p", {dir: "auto", lang: about.language}, value);
  if (photo.review) parts.push(make("p", {class: `review ${photo.review}`}, photo.review));
  if (values.certainty === "unsure") parts.push(make("p", {class: "doubt"}, "The perceivers are unsure of this photo"));
  if (values.certainty === "unrecognised") parts.push(make("p", {class: "doubt"}, "Nothing was recognised in this photo"));
  if (reviewer) parts.push(...reviewer.editors(photo));
  else {
    if (isText(values.description)) part("Description", text(values.description));
    if (isText(values.alt)) part("Alt text", text(values.alt));
    const tags = photo.tags.filter(enough);
    if (tags.length) part("Tags", make("ul", {class: "chips", id: "own-tags"},
      ...tags.map((tag) => make("li", {}, tagButton(tag.name, tag.score === null ? null : tag.score.toFixed(2))))));
  }
  const things = photo.objects.filter(enough);
  if (things.length && !reviewer?.shows(photo, "objects")) part("Objects", make("ul", {class: "chips", id: "own-objects"}, ...things.map((one) => make("li", {}, thing(one)))));
  if (photo.read.length) part("Words in the photo", make("ul", {class: "chips", id: "own-words"}, ...photo.read.map((one) => make("li", {}, thing(one, "")))));
  for (const [name, value] of Object.entries(values)) if (!TOLD.has(name) && !reviewer?.shows(photo, name) && !(name === "text" && photo.read.length)) parts.push(...other(name, value));
  return parts;
}

/** Return one object or one text: a button that shows its box, or its name where its place is not known. */
function thing(one, lang = about.language) {
  const inside = [make("span", {class: `key ${colour(one.type)}`}), make("bdi", {lang}, one.type)];
  const finer = list(one.tags).filter(isText).join(", ");
  if (finer) inside.push(make("small", {lang: about.language}, finer));
  if (one.score !== null) inside.push(make("small", {}, one.score.toFixed(2)));
  if (!one.boxed) return make("span", {class: "chip"}, ...inside.slice(1));
  const button = make("button", {type: "button", "aria-pressed": "false"}, ...inside);
  button.addEventListener("click", () => {
    chosen = chosen === one ? null : one;
    for (const each of place("texts").querySelectorAll("#own-objects button, #own-words button")) each.setAttribute("aria-pressed", chosen === one && each === button);
    showBoxes(opened);
  });
  return button;
}

/** Return a value that the page knows nothing about, under its own name. */
function other(name, value) {
  const heading = make("h3", {}, name);
  if (value === null || value === "" || (Array.isArray(value) && !value.length)) return [];
  if (typeof value !== "object") return [heading, make("p", {dir: "auto", lang: about.language}, String(value))];
  if (Array.isArray(value) && value.every((one) => typeof one !== "object"))
    return [heading, make("ul", {class: "chips", lang: about.language}, ...value.map((one) => make("li", {class: "chip", dir: "auto"}, String(one))))];
  if (name === "data" && !Array.isArray(value)) return Object.entries(value).flatMap(([key, inner]) => other(key, inner));
  return [heading, make("pre", {dir: "auto"}, JSON.stringify(value, null, 2))];
}

function step(by) {
  const to = shown[shown.indexOf(opened) + by];
  reviewer?.left();
  if (opened && to) location.replace(address(to));
}

place("texts").addEventListener("click", (event) => {
  const button = event.target.closest("#own-tags button");
  if (!button) return;
  place("detail").close();
  if (!filter.tags.has(button.value)) toggleTag(button.value);
});
place("previous").addEventListener("click", () => step(-1));
place("next").addEventListener("click", () => step(1));
place("close").addEventListener("click", () => place("detail").close());
addEventListener("keydown", (event) => { // a click on the photo leaves the keyboard with the whole page
  if (!place("detail").open || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.target.matches("textarea, input, select")) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
place("detail").addEventListener("click", (event) => { if (event.target === place("detail")) place("detail").close(); });
place("detail").addEventListener("close", () => {
  reviewer?.left();
  const at = shown.indexOf(opened);
  opened = null;
  if (/^#photo=/.test(location.hash)) history.replaceState(null, "", "#");
  if (at >= 0) go(at);
});
addEventListener("hashchange", follow);

// --- the data: it comes in files, each of which calls `take` -------------------------------------

globalThis.olpipePage = {
  take(entries) {
    for (const entry of entries) {
      if ("values" in entry) {
        const photo = photoOf(entry);
        photo.rank = photos.push(photo) - 1;
        byFile.set(photo.file, photo);
      } else failures.push({...entry, folded: fold([entry.file, entry.message, entry.hint ?? "", entry.kind].join("\n"))});
    }
  },
};

function load(name) {
  return new Promise((done, failed) => {
    const script = make("script", {src: `index_files/${name}`});
    script.addEventListener("load", done);
    script.addEventListener("error", () => failed(new Error(`index_files/${name} cannot be read: copy the folder index_files together with this page`)));
    document.head.append(script);
  });
}

async function start() {
  document.title = place("name").textContent = about.folder;
  place("about").textContent = `described by ${about.model} with the recipe ${about.recipe}`;
  if (innerWidth < 900) place("filters").open = false;
  for (const name of about.data) {
    try {
      await load(name);
    } catch (error) {
      place("error").textContent = error.message;
    }
    refresh();
  }
  rank();
  reviewer?.started();
  offer();
  refresh();
  follow();
  document.body.dataset.ready = "yes";
}

addEventListener("scroll", () => later(showCards), {passive: true});
new ResizeObserver(() => later(layOut)).observe(place("photos"));
start();
