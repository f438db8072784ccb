"use strict";

/* The page as `olpipe review` serves it. What people do is shown at once, sent at once, and kept in the browser until the
   server has it. The script of the page itself follows this one: what is used from it is there when something is called. */

globalThis.olpipeReview = (() => {
  const TYPING_MS = 700, AGAIN_MS = 4000, LONGEST_TAG = 200, MOST_NAMED = 5;
  const NAMES = {title: "Title", alt: "Alt text", description: "Description", tags: "Tags"};
  const waiting = new Map(); // what the server does not have yet: changes, by the name of the photo
  const refused = new Map(); // what the server did not take: edits with the reason, by the photo's digest and the field
  const openEditors = new Map(); // the fields of the photo that is shown: how each is stored and brought up to date
  let sending = false, timer = 0, fault = "", store = "";

  // --- what a photo is ------------------------------------------------------------------------

  const twins = (photo) => photos.filter((one) => one.thumbnail === photo.thumbnail);
  const key = (photo) => photo.thumbnail.replace(/^.*\/(..)\/(.*)\.jpg$/, "$1$2");

  const canHave = (photo, field) =>
    field in photo.values ? (field === "tags" ? Array.isArray(photo.values.tags) : typeof photo.values[field] === "string")
      : !("data" in photo.values) && about.review.fields.includes(field);

  /** Put what a photo is now into the page's own object for it. */
  function renew(photo, entry) {
    const {rank: number, href, file, width, height} = photo;
    const name = key(photo);
    for (const old of ["review", "written"]) delete photo[old];
    Object.assign(photo, photoOf({href, file, width, height, thumbnail: name, ...entry}), {rank: number});
  }

  /** Return an entry as it will be when a change has been made. The server's own answer replaces it. */
  function changed(photo, change) {
    const values = {...photo.values}, written = {...photo.written};
    for (const [field, value] of Object.entries(change.corrections ?? {})) {
      const original = field in written ? written[field] : values[field] ?? null;
      if (value === null || JSON.stringify(value) === JSON.stringify(original)) {
        if (original === null) delete values[field];
        else values[field] = original;
        delete written[field];
      } else {
        values[field] = value;
        written[field] = original;
      }
      if (field === "tags") delete values.tag_scores; // the server knows them
    }
    const isEdited = Object.keys(written).length > 0;
    let review = isEdited ? "edited" : photo.review === "edited" ? undefined : photo.review;
    if (photo.review === "rejected" && !("verdict" in change)) review = "rejected";
    if ("verdict" in change) review = change.verdict === "approved" && isEdited ? "edited" : change.verdict ?? (isEdited ? "edited" : undefined);
    return {values, ...(review ? {review} : {}), ...(isEdited ? {written} : {})};
  }

  // --- sending --------------------------------------------------------------------------------

  function change(photo, what) {
    for (const one of twins(photo)) renew(one, changed(one, what));
    const before = waiting.get(photo.file)?.what ?? {};
    const merged = {...before, ...what};
    if (what.edits) { // with them goes what was refused before: together they may fit
      const again = Object.entries(refused.get(key(photo)) ?? {}).map(([field, one]) => [field, one.edit]);
      merged.edits = {...Object.fromEntries(again), ...before.edits, ...what.edits};
      refused.delete(key(photo));
    }
    if (before.corrections || what.corrections) merged.corrections = {...before.corrections, ...what.corrections};
    waiting.set(photo.file, {photo: key(photo), what: merged});
    remember();
    send();
    show(photo);
  }

  function remember() {
    try {
      for (const [name, map] of [[store, waiting], [`${store} refused`, refused]])
        if (map.size) localStorage.setItem(name, JSON.stringify([...map]));
        else localStorage.removeItem(name);
    } catch { /* no storage, or it is full: the changes stay in the page */ }
  }

  async function send() {
    if (sending) return;
    sending = true;
    clearTimeout(timer);
    fault = "";
    for (const [file, one] of [...waiting]) {
      const body = JSON.stringify({file, photo: one.photo, ...one.what}), size = new Blob([body]).size;
      if (one.what.edits && size > about.review.most_bytes) { // a server that stops reading looks like one that is gone
        const reason = `the change has ${numbers.format(size)} bytes, more than ${numbers.format(about.review.most_bytes)}: write less into the field`;
        refuse(file, one, Object.fromEntries(Object.keys(one.what.edits).map((field) => [field, {reason, at: []}])));
        continue;
      }
      try {
        const answer = await fetch("review", {
          method: "POST", headers: {"Content-Type": "application/json", "X-Olpipe-Review": about.review.token},
          body,
        });
        const said = await answer.json().catch(() => ({}));
        const why = refusals(said, answer.status, one.what);
        if (why) {
          refuse(file, one, why);
          for (const entry of said.photos ?? []) take(entry);
          continue;
        }
        if (!answer.ok) throw new Error([said.error ?? `the server answered ${answer.status}`, said.hint].filter(Boolean).join("; "));
        if (waiting.get(file) === one) {
          waiting.delete(file);
          for (const entry of said.photos) take(entry);
        }
      } catch (error) {
        fault = error instanceof TypeError ? "`olpipe review` cannot be reached" : error.message;
        break;
      }
    }
    remember();
    sending = false;
    if (fault) timer = setTimeout(send, AGAIN_MS);
    else if (waiting.size) send();
    showWaiting();
  }

  /** Return what was refused of the edits of a change, and why; undefined where nothing was. */
  function refusals(said, status, {edits}) {
    if (said.refused) return said.refused;
    if (!edits || ![400, 413].includes(status)) return undefined;
    const reason = [said.error ?? `the server answered ${status}`, said.hint].filter(Boolean).join("; ");
    return Object.fromEntries(Object.keys(edits).map((field) => [field, {reason, at: []}]));
  }

  /** Keep edits that were refused in their fields, and what else was to be sent. Nobody approves what was not taken. */
  function refuse(file, one, why) {
    const now = waiting.get(file), {edits, verdict, ...rest} = now.what, left = {...edits}, kept = {...refused.get(one.photo)};
    for (const [field, {reason, at}] of Object.entries(why)) {
      if (JSON.stringify(left[field]) !== JSON.stringify(one.what.edits[field])) continue; // it was written anew since
      kept[field] = {edit: left[field], reason, at};
      delete left[field];
    }
    if (Object.keys(kept).length) refused.set(one.photo, kept);
    const what = {...rest, ...(Object.keys(left).length ? {edits: left} : {}), ...("verdict" in now.what && verdict !== "approved" ? {verdict} : {})};
    if (Object.keys(what).length) waiting.set(file, {photo: one.photo, what});
    else waiting.delete(file);
    const photo = byFile.get(file);
    if (photo) show(photo);
    tell(`Not saved: ${Object.values(why).map(({reason}) => reason).join("; ")}`);
  }

  function take({file, ...entry}) {
    const photo = byFile.get(file);
    if (!photo || waiting.has(file)) return;
    renew(photo, entry);
    show(photo);
  }

  function showWaiting() {
    const others = photos.filter((photo) => refused.has(key(photo)) && photo !== opened).map((photo) => photo.file);
    const text = fault && waiting.size
      ? `${count(waiting.size, "photo")} not saved: ${fault}. The changes are kept in this browser and sent again.`
      : others.length ? `A value was refused, and waits in its field to be corrected: ${others.slice(0, MOST_NAMED).join(", ")}` : "";
    for (const line of document.querySelectorAll(".unsaved")) {
      line.hidden = !text;
      line.querySelector("button").hidden = !(fault && waiting.size);
      const words = line.querySelector("span");
      if (words.textContent !== text) words.textContent = text;
    }
    document.body.dataset.unsaved = String(waiting.size);
  }

  // --- showing --------------------------------------------------------------------------------

  /** Bring what the page shows of a photo up to date, without taking the keyboard away from a field. */
  function show(photo) {
    for (const [at, card] of cards)
      if (shown[at] && shown[at].thumbnail === photo.thumbnail) {
        const fresh = makeCard(shown[at], at);
        fresh.style.cssText = card.style.cssText;
        const hadFocus = card.contains(document.activeElement);
        fresh.firstChild.tabIndex = card.firstChild.tabIndex;
        card.replaceWith(fresh);
        cards.set(at, fresh);
        if (hadFocus) fresh.firstChild.focus({preventScroll: true});
      }
    offerReviews();
    showProgress();
    showWaiting();
    if (opened?.thumbnail === photo.thumbnail) {
      place("title").textContent = opened.title;
      place("shown").alt = opened.alt;
      for (const {update} of openEditors.values()) update();
      chosen = photo.objects.find((one) => chosen && ["x", "y", "w", "h"].every((side) => one[side] === chosen[side])) ?? null;
      showBoxes(photo);
      showState();
    }
  }

  function showState() {
    const mark = place("texts").querySelector("p.review");
    const fresh = opened.review ? make("p", {class: `review ${opened.review}`}, opened.review) : null;
    if (mark && fresh) mark.replaceWith(fresh);
    else if (mark) mark.remove();
    else if (fresh) place("texts").prepend(fresh);
    place("approve").setAttribute("aria-pressed", opened.review === "approved" || opened.review === "edited");
    place("reject").setAttribute("aria-pressed", opened.review === "rejected");
    place("undo").disabled = !opened.review && !refused.has(key(opened));
  }

  const tell = (text) => { for (const id of ["told", "told-here"]) place(id).textContent = text; };

  // --- fields ---------------------------------------------------------------------------------

  function editors(photo) {
    openEditors.clear();
    const own = Object.keys(NAMES).filter((field) => canHave(photo, field))
      .flatMap((field) => (field === "tags" ? tagsEditor(photo) : textEditor(photo, field)));
    const units = "data" in photo.values ? olpipeForm.formsOf(photo).map((form) => [form]) : [];
    if (hasObjects(photo)) units.push([about.review.forms.objects, objectLook(photo)]);
    return [...own, ...units.flatMap(([form, look]) => unitEditor(photo, {field: "objects", ...form}, look))];
  }

  const hasObjects = (photo) => Boolean(about.review.forms.objects) && !("data" in photo.values)
    && (list(photo.values.objects).length > 0 || "objects" in (photo.written ?? {}));

  /** Say whether the review shows the value under a key itself. */
  const shows = (photo, name) => name === "data" || (name === "objects" && hasObjects(photo));

  function unitEditor(photo, form, look) {
    const {field} = form, {plain, at} = olpipeForm;
    const held = () => {
      const one = refused.get(key(photo))?.[field];
      const edit = twins(photo).map((twin) => waiting.get(twin.file)?.what.edits?.[field]).find(Boolean);
      return one ?? (edit ? {edit} : undefined);
    };
    /** The value as the server has it, or as it will have it when a field goes back to what the model wrote. */
    const now = () => {
      const goesBack = twins(photo).some((twin) => waiting.get(twin.file)?.what.edits?.[field] === null);
      if (goesBack && field in (photo.written ?? {})) return field === "objects" ? photo.written.objects : photo.written[field][0];
      return field === "objects" ? photo.values.objects : at(photo.values.data, form.path);
    };
    const unit = olpipeForm.unitOf(form, {
      held, now,
      keep: (_, edit) => change(photo, {edits: {[field]: edit}}),
    }, look);
    const told = (written) => (field === "objects" ? list(written).map((one) => one.type).join(", ") : plain(written[0]));
    const {line, update} = history(photo, field, () => { unit.refill(); unit.focus(); }, {
      name: form.label, told, undo: () => change(photo, {edits: {[field]: null}}),
    });
    openEditors.set(field, {store: unit.store, update: () => { unit.update(); update(); }, focus: unit.focus, refill: unit.refill});
    return [...unit.elements, line];
  }

  /** Return how the row of an object looks: its name, and behind it its fields. Opening it shows its box. */
  function objectLook(photo) {
    return (item, control) => {
      const one = placed(item);
      const summary = make("summary", {}, ...thing(one).childNodes);
      const details = make("details", {}, summary, control.element);
      details.addEventListener("toggle", () => {
        if (opened !== photo) return;
        if (details.open) for (const other of details.closest("ul").querySelectorAll("details[open]")) if (other !== details && !other.querySelector("[aria-invalid]")) other.open = false;
        const same = (other) => other.type === one.type && ["x", "y", "w", "h"].every((side) => other[side] === one[side]);
        chosen = details.open ? photo.objects.find(same) ?? null : chosen && same(chosen) ? null : chosen;
        showBoxes(photo);
      });
      return details;
    };
  }

  function heading(field, forId) {
    return make("h3", {}, forId ? make("label", {for: forId}, NAMES[field]) : NAMES[field]);
  }

  /** Return what stands below a field: what the model wrote, and the way back to it. */
  function history(photo, field, restored, {name, told, undo} = {
    name: NAMES[field], undo: () => change(photo, {corrections: {[field]: null}}),
    told: (value) => (value === null || value === "" ? "nothing" : Array.isArray(value) ? value.join(", ") || "nothing" : value),
  }) {
    const line = make("p", {class: "hint written"}), words = make("span", {dir: "auto", lang: about.language});
    const button = make("button", {type: "button", "aria-label": `Undo the change of: ${name}`}, "Undo");
    line.append(make("span", {}, "The model wrote: "), words, " ", button);
    button.addEventListener("click", () => {
      undo();
      tell(`${name} is what the model wrote`);
      restored();
    });
    const update = () => {
      line.hidden = !(photo.written && field in photo.written);
      words.textContent = line.hidden ? "" : told(photo.written[field] ?? null);
    };
    update();
    return {line, update};
  }

  function textEditor(photo, field) {
    const id = `edit-${field}`;
    const input = make("textarea", {id, rows: field === "title" ? 1 : 3, dir: "auto", lang: about.language, spellcheck: "true"});
    const value = () => photo.values[field] ?? "";
    input.value = value();
    let typing = 0, before = input.value;
    const {line, update} = history(photo, field, () => { input.value = before = value(); input.focus(); });
    const store = () => {
      clearTimeout(typing);
      const text = input.value.trim();
      if (text !== value().trim()) change(photo, {corrections: {[field]: text}});
    };
    input.addEventListener("focus", () => { before = input.value; });
    input.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(store, TYPING_MS); });
    input.addEventListener("change", store);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        input.value = before;
        store();
        place("panel").focus();
      } else if (event.key === "Enter" && (field === "title" || event.ctrlKey || event.metaKey) && !event.isComposing) {
        event.preventDefault();
        store();
        place("panel").focus();
      }
    });
    openEditors.set(field, {
      store, update: () => { if (document.activeElement !== input) input.value = value(); update(); },
    });
    return [heading(field, id), input, line];
  }

  function tagsEditor(photo) {
    const chips = make("ul", {class: "chips", id: "edit-tags", "aria-label": "Tags"});
    const input = make("input", {id: "new-tag", type: "text", "aria-label": "New tag", placeholder: "New tag", autocomplete: "off",
      maxlength: LONGEST_TAG, dir: "auto", lang: about.language});
    const add = make("button", {type: "button", id: "add-tag"}, "Add");
    const names = () => list(photo.values.tags).filter(isText);
    const {line, update} = history(photo, "tags", () => input.focus());
    const fill = () => chips.replaceChildren(...names().map((name) => {
      const score = photo.tags.find((tag) => tag.name === name)?.score ?? null;
      const remove = make("button", {type: "button", value: name, "aria-label": `Remove the tag ${name}`}, "✕");
      return make("li", {}, make("span", {class: "chip"}, make("bdi", {lang: about.language}, name),
        ...(score === null ? [] : [make("small", {}, score.toFixed(2))]), remove));
    }));
    const put = (tags) => change(photo, {corrections: {tags}});
    const store = () => {
      const name = input.value.trim();
      input.value = "";
      if (name && !names().includes(name)) {
        put([...names(), name]);
        tell(`added the tag ${name}`);
      }
    };
    add.addEventListener("click", () => { store(); input.focus(); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); store(); }
      if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); input.value = ""; place("panel").focus(); }
    });
    chips.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const at = [...chips.querySelectorAll("button")].indexOf(button);
      put(names().filter((name) => name !== button.value));
      tell(`removed the tag ${button.value}`);
      const left = [...chips.querySelectorAll("button")];
      (left[Math.min(at, left.length - 1)] ?? input).focus();
    });
    fill();
    openEditors.set("tags", {
      store, update: () => {
        const focused = chips.contains(document.activeElement) ? document.activeElement.value : undefined;
        fill();
        if (focused !== undefined) [...chips.querySelectorAll("button")].find((one) => one.value === focused)?.focus();
        update();
      },
    });
    return [heading("tags"), chips, make("div", {class: "adding"}, input, add), line];
  }

  // --- verdicts -------------------------------------------------------------------------------

  const SAID = {approved: "Approved", rejected: "Rejected", undone: "As the model wrote it, and not reviewed"};

  const pending = (photo) => twins(photo).some((twin) => waiting.get(twin.file)?.what.edits) || refused.has(key(photo));

  /** Wait until the server has taken or refused the edits of a photo, or cannot be reached. */
  async function settled(photo) {
    while (twins(photo).some((twin) => waiting.get(twin.file)?.what.edits) && !fault) await new Promise((done) => setTimeout(done, 20));
  }

  async function judge(photo, verdict, on) {
    left();
    if (verdict === "approved" && pending(photo)) { // nobody approves what the server does not take
      await settled(photo);
      const wrong = Object.keys(refused.get(key(photo)) ?? {})[0];
      if (wrong !== undefined) {
        if (opened === photo) openEditors.get(wrong)?.focus();
        return tell(`Not approved: ${refused.get(key(photo))[wrong].reason}`);
      }
    }
    if (verdict === null) {
      const corrections = {}, edits = {};
      for (const field of Object.keys(photo.written ?? {})) (field in NAMES ? corrections : edits)[field] = null;
      refused.delete(key(photo));
      const before = waiting.get(photo.file);
      if (before?.what.edits) for (const field of Object.keys(before.what.edits)) edits[field] = null;
      change(photo, {verdict: null, corrections, ...(Object.keys(edits).length ? {edits} : {})});
      if (opened === photo) for (const {refill} of openEditors.values()) refill?.();
    } else change(photo, {verdict});
    const reviewed = photos.filter((one) => one.review).length;
    tell(`${SAID[verdict ?? "undone"]}: ${photo.title}. ${numbers.format(reviewed)} of ${numbers.format(photos.length)} reviewed.`);
    on();
  }

  /** Judge the photo that is shown large, and go to the next one. */
  function judgeOpened(verdict) {
    const photo = opened, at = shown.indexOf(photo), next = at < 0 ? undefined : shown[at + 1];
    judge(photo, verdict, () => {
      if (filter.review) refresh();
      if (opened !== photo) return undefined;
      if (verdict === null) return showState();
      if (next) location.replace(address(next));
      else if (filter.review) place("detail").close();
      else tell(`${place("told-here").textContent} This is the last photo of the list.`);
    });
  }

  /** Judge the card that has the keyboard, and go to the next one. */
  function judgeCard(verdict) {
    const photo = shown[current];
    if (!photo) return;
    judge(photo, verdict, () => {
      const at = current;
      if (filter.review) refresh();
      go(shown[at] === photo && verdict !== null ? at + 1 : at);
    });
  }

  const KEYS = {a: "approved", r: "rejected", u: null};

  function pressed(event, judging) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.repeat || !place("keys").checked) return;
    if (event.target.matches("textarea, input, select") || !(event.key in KEYS || event.key === "e")) return;
    event.preventDefault();
    if (event.key in KEYS) return judging(KEYS[event.key]);
    if (opened) edit();
    else if (shown[current]) {
      addEventListener("hashchange", edit, {once: true});
      location.hash = address(shown[current]);
    }
  }

  const edit = () => (document.querySelector("#texts textarea, #texts select, #texts .unit input") ?? place("new-tag"))?.focus();

  function left() {
    for (const {store} of [...openEditors.values()]) store();
  }

  // --- the parts of the page that only a review has ------------------------------------------------

  function unsaved() {
    const again = make("button", {type: "button"}, "Try again");
    again.addEventListener("click", send);
    const line = make("div", {class: "unsaved", role: "alert"}, make("span"), again);
    line.hidden = true;
    return line;
  }

  function verdictBar() {
    const button = (id, verdict, name, letter) => {
      const one = make("button", {id, type: "button", "aria-keyshortcuts": letter, title: `${name} (the key ${letter})`}, name, " ", make("kbd", {"aria-hidden": "true"}, letter));
      one.addEventListener("click", () => judgeOpened(verdict));
      return one;
    };
    return make("div", {id: "verdicts", role: "group", "aria-label": "Review"}, unsaved(), button("approve", "approved", "Approve", "a"),
      button("reject", "rejected", "Reject", "r"), button("undo", null, "Undo all", "u"), make("p", {id: "told", role: "status"}));
  }

  function started() {
    store = `olpipe review ${about.review.id}`;
    place("list").prepend(unsaved());
    place("detail").append(verdictBar());
    place("list").append(make("p", {id: "told-here", class: "heard", role: "status"}));
    const keys = make("input", {id: "keys", type: "checkbox"});
    keys.checked = true;
    place("clear").before(make("div", {class: "field"}, make("label", {class: "check"}, keys, " Keys of the review"),
      make("p", {class: "hint"}, "a approves, r rejects, u undoes, e edits.")));
    addEventListener("keydown", (event) => { // a click beside the fields leaves the keyboard with the whole page
      if (place("detail").open) pressed(event, judgeOpened);
      else if (event.target.closest("#photos")) pressed(event, judgeCard);
    });
    addEventListener("online", send);
    addEventListener("pagehide", left);
    addEventListener("beforeunload", (event) => { left(); if (waiting.size && fault) event.preventDefault(); });
    try {
      for (const [file, one] of JSON.parse(localStorage.getItem(store) ?? "[]")) {
        const photo = byFile.get(file);
        if (!photo || key(photo) !== one.photo) continue;
        waiting.set(file, one);
        for (const twin of twins(photo)) renew(twin, changed(twin, one.what));
      }
    } catch { /* it was changed by hand */ }
    try {
      for (const [digest, fields] of JSON.parse(localStorage.getItem(`${store} refused`) ?? "[]")) refused.set(digest, fields);
    } catch { /* it was changed by hand */ }
    showWaiting();
    if (waiting.size) send();
  }

  return {editors, shows, left, started, opened: () => { showState(); showWaiting(); }};
})();
