"use strict";

/* The fields of a review for values that a schema describes: those within `data`, and objects. The server says which kind
   of field each value gets (forms.py), and whether what people wrote fits. What does not fit stays in its field. */

globalThis.olpipeForm = (() => {
  let made = 0; // numbers the ids of fields

  const equal = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  /** Return a value as people read it. */
  function plain(value) {
    if (value === undefined || value === null || value === "" || equal(value, [])) return "nothing";
    if (Array.isArray(value)) return value.map(plain).join(value.some(isObject) ? "; " : ", ");
    if (isObject(value)) return Object.entries(value).map(([key, inner]) => `${key}: ${plain(inner)}`).join(", ");
    return value === true ? "yes" : value === false ? "no" : String(value);
  }

  /** Return the form for a value: the one that the schema gives, or one after the value itself where that does not fit. */
  function fitting(form, value) {
    const fits = {
      text: (one) => typeof one === "string", number: (one) => typeof one === "number", choice: () => true, json: () => true,
      lines: (one) => Array.isArray(one) && one.every((line) => isText(line) && !/[\r\n]/.test(line) && line === line.trim()),
      rows: (one) => (form.single ? isObject(one) : Array.isArray(one)), object: isObject,
    };
    if (value === undefined || value === null || fits[form.kind](value)) return form;
    if (form.kind === "lines" && Array.isArray(value) && value.every((one) => typeof one === "string"))
      return {...form, kind: "rows", item: {kind: "text", long: true, note: "", help: "", label: form.label}};
    return {...form, kind: "json"};
  }

  const emptied = (form) => (form.nullable ? null : undefined);

  // --- controls: each has an element, reads its value, and finds the field at a place in it ------------

  const id = () => `form-${made += 1}`;
  const isBlank = (text) => text.trim() === "";

  function field(form, name, attributes, text) {
    const input = make("textarea", {id: id(), dir: "auto", lang: about.language, spellcheck: "true", ...attributes});
    if (name) input.setAttribute("aria-label", name);
    input.value = text;
    return input;
  }

  function textControl(form, value, name) {
    const input = field(form, name, {rows: form.long ? 2 : 1}, value ?? "");
    const read = () => {
      const text = input.value.trim();
      return text === "" && (form.nullable || (form.optional && value !== "")) ? emptied(form) : text;
    };
    return {element: input, input, read, find: () => input};
  }

  function numberControl(form, value, name) {
    const input = make("input", {id: id(), type: "text", inputmode: form.whole ? "numeric" : "decimal", autocomplete: "off"});
    if (name) input.setAttribute("aria-label", name);
    input.value = value ?? "";
    const read = () => {
      const text = input.value.trim(), number = Number(text.replace(",", "."));
      if (text === "") return form.optional && !form.nullable ? undefined : null;
      return Number.isFinite(number) ? number : text; // the server says that a text is no number
    };
    return {element: input, input, read, find: () => input};
  }

  function choiceControl(form, value, name) {
    const options = form.options.map((one) => [one === null ? "– (null)" : plain(one), one]);
    if (value !== undefined && !form.options.some((one) => equal(one, value))) options.unshift([`${plain(value)} (not allowed)`, value]);
    if (form.optional || value === undefined) options.unshift(["– (left out)", undefined]);
    const select = make("select", {id: id(), lang: about.language}, ...options.map(([text], at) => new Option(text, at)));
    if (name) select.setAttribute("aria-label", name);
    select.value = Math.max(0, options.findIndex(([, one]) => equal(one, value)));
    return {element: select, input: select, read: () => options[select.value][1], find: () => select};
  }

  function linesControl(form, value, name) {
    const input = field(form, name, {rows: 2, class: "lines"}, (value ?? []).join("\n"));
    const read = () => {
      const lines = input.value.split("\n").map((line) => line.trim()).filter(Boolean);
      return !lines.length && (value === undefined || value === null) ? (form.optional ? undefined : value ?? []) : lines;
    };
    return {element: input, input, read, find: () => input};
  }

  /** A text that stands for itself, or JSON. A text that would be read as JSON is written in quotes. */
  function jsonControl(form, value, name) {
    const parsed = (text) => { try { return JSON.parse(text); } catch { return text; } };
    const written = typeof value === "string" && typeof parsed(value) === "string" && parsed(value) === value ? value
      : value === undefined ? "" : JSON.stringify(value, null, 2);
    const input = field(form, name, {rows: 2, spellcheck: "false", class: "json"}, written);
    const read = () => (isBlank(input.value) ? (value === "" ? "" : emptied(form)) : parsed(input.value.trim()));
    return {element: input, input, read, find: () => input};
  }

  function objectControl(form, value, name, look) {
    const given = isObject(value) ? value : {};
    const group = make("div", {class: "keys"});
    const inner = form.fields.map((one) => {
      const control = controlOf(one, given[one.key], `${name}, ${one.label.toLowerCase()}`, look);
      const label = control.input ? make("label", {for: control.input.id}, one.label) : make("span", {}, one.label);
      if (control.input) control.input.removeAttribute("aria-label");
      const isSmall = one.kind === "number" || (one.kind === "text" && !one.long);
      group.append(make("div", {class: one.kind === "number" ? "pair number" : isSmall ? "pair small" : "pair"}, label, control.element));
      return [one.key, control];
    });
    const known = new Set(form.fields.map((one) => one.key));
    const read = () => {
      const now = Object.fromEntries(Object.entries(given).filter(([key]) => !known.has(key)));
      const values = new Map(inner.map(([key, control]) => [key, control.read()]));
      const keys = [...Object.keys(given).filter((key) => known.has(key)), ...[...known].filter((key) => !(key in given))];
      const all = [...Object.keys(given), ...keys.filter((key) => !(key in given))];
      const found = {};
      for (const key of all) {
        const inside = known.has(key) ? values.get(key) : now[key];
        if (inside !== undefined) found[key] = inside;
      }
      return found;
    };
    const find = ([key, ...rest]) => inner.find(([one]) => one === key)?.[1].find(rest) ?? inner[0]?.[1].find([]);
    return {element: group, read, find};
  }

  /** Rows that can be added and removed. `look` may give a row a line of its own, behind which its fields are folded. */
  function rowsControl(form, value, name, look) {
    const rows = new Map(); // the control of each row, by its element
    const items = form.single ? (isObject(value) ? [value] : []) : value ?? [];
    const place = make("ul", {class: "rows", "aria-label": name});
    const add = make("button", {type: "button", class: "add"}, form.single ? `Add ${form.label.toLowerCase()}` : "Add a row");
    const named = () => [...place.children].forEach((row, at) => {
      row.firstChild.setAttribute("aria-label", `${name}, row ${at + 1}`);
      row.firstChild.lastChild.setAttribute("aria-label", `Remove row ${at + 1} of: ${name}`);
    });
    const put = (item, isNew) => {
      const control = controlOf(fitting(form.item, item), item, form.item.kind === "object" ? name : `${name}, row`, isNew ? null : look);
      const remove = make("button", {type: "button", class: "remove", title: "Remove"}, "✕");
      const inside = look && !isNew ? look(item, control) : control.element;
      const row = make("li", {}, make("div", {role: "group"}, inside, remove));
      row.dataset.fresh = isNew ? "yes" : "";
      rows.set(row, {...control, blank: JSON.stringify(control.read())});
      place.append(row);
    };
    const limit = () => { add.hidden = Boolean(look) || (form.single && rows.size > 0); };
    items.forEach((item) => put(item, false));
    add.addEventListener("click", () => {
      put(form.item.kind === "object" ? {} : undefined, true);
      named();
      limit();
      rows.get(place.lastChild).find([])?.focus();
    });
    place.addEventListener("click", (event) => {
      const row = event.target.closest(".remove")?.closest("li");
      if (!row || row.parentNode !== place) return;
      const at = [...place.children].indexOf(row);
      row.remove(); // the row may lose the keyboard by that, and is read once more
      rows.delete(row);
      named();
      limit();
      const next = place.children[Math.min(at, place.children.length - 1)]?.firstChild.lastChild ?? (add.hidden ? null : add);
      (next ?? globalThis.document.getElementById("panel")).focus();
      place.dispatchEvent(new CustomEvent("removed", {bubbles: true}));
    });
    named();
    limit();
    const used = () => [...place.children].map((row) => [row, rows.get(row)]) // a new row in which nothing was written is none
      .filter(([row, one]) => !(row.dataset.fresh && JSON.stringify(one.read()) === one.blank)).map(([, one]) => one);
    const read = () => {
      const found = used().map((one) => { const inside = one.read(); return inside === undefined ? null : inside; });
      if (form.single) return found[0] ?? (form.nullable ? null : undefined);
      return !found.length && (value === undefined || value === null) ? value ?? (form.optional ? undefined : form.nullable ? null : []) : found;
    };
    const find = ([at, ...rest]) => (form.single ? used()[0]?.find([at, ...rest]) : used()[at ?? 0]?.find(rest)) ?? (add.hidden ? undefined : add);
    return {element: make("div", {}, place, add), read, find};
  }

  const CONTROLS = {
    text: textControl, number: numberControl, choice: choiceControl, lines: linesControl, json: jsonControl, object: objectControl, rows: rowsControl,
  };

  function controlOf(form, value, name, look) {
    const fit = fitting(form, value);
    return CONTROLS[fit.kind](fit, value, name, look);
  }

  // --- units: what is corrected as a whole ---------------------------------------------------------

  /** Return the fields of a photo's values, and of those that the schema does not name. */
  function formsOf(photo) {
    const {data: forms} = about.review.forms, {data} = photo.values;
    const named = new Set(forms.map((form) => form.path[0]));
    const more = isObject(data) && forms.every((form) => form.path.length) ? Object.keys(data).filter((key) => !named.has(key)) : [];
    return [...forms, ...more.map((key) => ({
      kind: Array.isArray(data[key]) && data[key].every(isText) ? "lines" : typeof data[key] === "number" ? "number" : "json",
      field: `/data/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, path: [key], label: key, help: "", note: "", optional: true,
    }))];
  }

  const at = (value, path) => path.reduce((inner, key) => (isObject(inner) && Object.hasOwn(inner, key) ? inner[key] : undefined), value);

  /**
   * Return the elements of one unit, and what keeps it.
   *
   * `keeping` is what the review gives: `now(unit)` is the value that is shown, `held(unit)` an edit that the server does not
   * have, with a `reason` where it was refused, and `keep(unit, edit)` takes one.
   */
  function unitOf(form, keeping, look) {
    const name = `${id()}-fault`, about_ = `${name}-hint`;
    const fault = make("p", {class: "fault", id: name});
    const words = [form.help, form.note].filter(Boolean);
    const hint = make("p", {class: "hint", id: about_}, ...words.flatMap((one, at_) => (at_ ? [make("br"), one] : [one])));
    const title = make("h3"), body = make("div", {class: "unit"});
    let control, filled, marked = null;
    const isHere = () => body.contains(document.activeElement);

    function fill() {
      const held = keeping.held(form);
      const value = held ? held.edit?.value : keeping.now(form);
      control = controlOf(form, value, form.label, look);
      filled = JSON.stringify(control.read());
      body.replaceChildren(control.element);
      if (control.input) {
        control.input.id = `edit-${form.field}`;
        control.input.removeAttribute("aria-label");
      }
      title.replaceChildren(control.input ? make("label", {for: control.input.id}, form.label) : form.label);
      if (words.length) control.find([])?.setAttribute("aria-describedby", about_);
      point();
    }

    /** Say why the value was refused, at the field that it concerns. */
    function point() {
      const held = keeping.held(form);
      if (marked) {
        marked.removeAttribute("aria-invalid");
        marked.removeAttribute("aria-errormessage");
        if (words.length && marked === control.find([])) marked.setAttribute("aria-describedby", about_);
        else marked.removeAttribute("aria-describedby");
      }
      marked = null;
      const text = held?.reason ?? "";
      if (fault.textContent !== text) fault.textContent = text;
      fault.hidden = !text;
      if (!text) return;
      marked = control.find(held.at ?? []) ?? null;
      marked?.closest("details")?.setAttribute("open", "");
      marked?.setAttribute("aria-invalid", "true");
      marked?.setAttribute("aria-describedby", words.length ? `${name} ${about_}` : name);
    }

    function store() {
      const value = control.read(), text = JSON.stringify(value);
      if (text === filled) return;
      filled = text;
      keeping.keep(form, value === undefined ? {} : {value});
    }

    function update() {
      if (isHere() || keeping.held(form)) point();
      else if (!equal(control.read(), keeping.now(form))) fill();
      else point();
    }

    body.addEventListener("focusout", (event) => {
      const row = event.target.closest("li");
      if (!(row ?? body).contains(event.relatedTarget)) store();
    });
    body.addEventListener("removed", store);
    body.addEventListener("change", (event) => { if (event.target.matches("select")) store(); });
    body.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        fill();
        document.getElementById("panel").focus();
      } else if (event.key === "Enter" && !event.target.matches("button, select, summary") && (event.ctrlKey || event.metaKey || event.target.matches("input, [rows='1']"))) {
        event.preventDefault();
        store();
        document.getElementById("panel").focus();
      }
    });
    fill();
    return {
      elements: [title, ...(words.length ? [hint] : []), body, fault], store, update, refill: fill,
      focus: () => { const held = keeping.held(form); (control.find(held?.at ?? []) ?? document.getElementById("panel")).focus(); },
    };
  }

  return {formsOf, unitOf, plain, at};
})();
