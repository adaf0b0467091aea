"use strict";
(() => {
  const root = document.getElementById("map");
  const source = document.getElementById("map-data");
  if (!root || !source) return;
  const data = JSON.parse(source.textContent);
  const find = (name) => root.querySelector(`[data-role="${name}"]`);
  const canvas = find("canvas"), context = canvas.getContext("2d"), tip = find("tip");
  const slider = find("slider"), clock = find("clock"), play = find("play"), speed = find("speed");
  const [HEARD, DARK_KNOWN, DARK, UNHEARD, PHANTOM, DISCONNECTED] = [0, 1, 2, 3, 4, 5];
  const NAMES = ["heard", "dark-known", "dark", "unheard", "phantom", "disconnected"];
  // by dark + 2 * known + 4 * unheard + 8 * disconnected
  const otherwise = [DARK, PHANTOM, DARK_KNOWN, UNHEARD, DARK, PHANTOM, DARK_KNOWN];
  const STATE = [HEARD, ...otherwise, DISCONNECTED, ...otherwise];
  const DRAWN = [HEARD, DISCONNECTED, UNHEARD, PHANTOM, DARK_KNOWN, DARK];

  const sums = (steps) => { let sum = 0; return Float32Array.from(steps, (step) => (sum += step)); };
  const tenths = (steps) => sums(steps).map((value) => value / 10);
  const count = data.points.length;
  const x = tenths(data.x), y = tenths(data.y);
  const bare = data.unmetered.map(tenths);
  const courses = (flat) => {
    const path = new Path2D();
    for (let i = 0; i < flat.length; i += 2) {
      const xs = tenths(flat[i]), ys = tenths(flat[i + 1]);
      for (let k = 0; k < xs.length; k++) k ? path.lineTo(xs[k], ys[k]) : path.moveTo(xs[k], ys[k]);
    }
    return path;
  };
  const low = courses(data.low), medium = courses(data.medium);
  const length = Math.round(data.end - data.start);

  // The state at the slider's instant, kept up by replaying changes.
  const aspects = new Uint8Array(count), since = new Float64Array(count);
  const totals = [count, 0, 0, 0, 0, 0];
  let now = 0, next = 0, chosen = -1;

  const reset = () => {
    aspects.fill(0); since.fill(0); totals.fill(0); totals[HEARD] = count; next = 0;
  };
  const replay = (time) => {
    if (next && data.changes[next - 1][0] > time) reset();
    for (; next < data.changes.length && data.changes[next][0] <= time; next++) {
      const [at, code, runs] = data.changes[next];
      const bit = 1 << (code >> 1), on = code & 1;
      let meter = 0;
      for (let i = 0; i < runs.length; i += 2) {
        meter += runs[i];
        for (const end = meter + runs[i + 1]; meter < end; meter++) {
          const before = STATE[aspects[meter]];
          if (on) aspects[meter] |= bit; else aspects[meter] &= ~bit;
          const after = STATE[aspects[meter]];
          if (before !== after) { totals[before]--; totals[after]++; since[meter] = at; }
        }
      }
    }
  };

  const two = (value) => String(value).padStart(2, "0");
  const text = (seconds) => {
    const date = new Date((data.start + seconds) * 1000);
    const day = length > 86400 * 1.5 ? date.toISOString().slice(0, 10) + " " : "";
    return `${day}${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  };

  // Drawing.
  let ink = {}, view = { zoom: 1, x: 0, y: 0 }, pixels = 1;
  const readColours = () => {
    const style = getComputedStyle(root);
    for (const name of [...NAMES, "unmetered", "line", "station", "ink", "card"]) ink[name] = style.getPropertyValue(`--map-${name}`).trim();
  };
  const size = () => {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth || data.width;
    pixels = width / data.width;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(width * ratio * data.height / data.width);
  };
  const symbol = (path, state, px, py, r) => {
    if (state === HEARD) { path.moveTo(px + r, py); path.arc(px, py, r, 0, 7); }
    else if (state === DARK_KNOWN || state === DISCONNECTED) path.rect(px - r, py - r, 2 * r, 2 * r);
    else if (state === DARK) { const d = 1.3 * r; path.moveTo(px, py - d); path.lineTo(px + d, py); path.lineTo(px, py + d); path.lineTo(px - d, py); path.closePath(); }
    else if (state === UNHEARD) { path.moveTo(px, py - 1.2 * r); path.lineTo(px + 1.15 * r, py + 0.8 * r); path.lineTo(px - 1.15 * r, py + 0.8 * r); path.closePath(); }
    else { path.moveTo(px - r, py - r); path.lineTo(px + r, py + r); path.moveTo(px + r, py - r); path.lineTo(px - r, py + r); }
  };
  const paint = (path, state, r) => {
    context.fillStyle = context.strokeStyle = ink[NAMES[state]];
    context.lineWidth = Math.max(r * 0.5, 0.6);
    if (state === PHANTOM) { context.lineWidth = Math.max(r * 0.6, 0.8); context.stroke(path); return; }
    if (state === DARK || state === DISCONNECTED) { context.save(); context.fillStyle = ink.card; context.fill(path); context.restore(); context.stroke(path); return; }
    context.fill(path);
  };
  const draw = () => {
    const scale = canvas.width / data.width * view.zoom;
    const grow = 1 / Math.pow(view.zoom, 0.6), thin = 1 / view.zoom / pixels;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale, 0, 0, scale, -view.x * scale, -view.y * scale);
    context.lineJoin = "round";
    context.strokeStyle = ink.line;
    context.lineWidth = 0.9 * thin; context.stroke(low);
    context.lineWidth = 1.6 * thin; context.stroke(medium);
    const r = data.radius * grow;
    if (bare[0].length) {
      const path = new Path2D();
      for (let i = 0; i < bare[0].length; i++) symbol(path, HEARD, bare[0][i], bare[1][i], r * 0.7);
      context.fillStyle = ink.unmetered; context.fill(path);
    }
    const paths = NAMES.map(() => new Path2D());
    for (let i = 0; i < count; i++) {
      if (x[i] < 0) continue;
      const state = STATE[aspects[i]];
      symbol(paths[state], state, x[i], y[i], state === HEARD ? r : r * 1.5);
    }
    for (const state of DRAWN) paint(paths[state], state, r);
    for (const [sx, sy] of data.stations) {
      const s = 7 * grow, px = sx / 10, py = sy / 10;
      context.beginPath(); context.moveTo(px, py - 1.15 * s); context.lineTo(px + s, py + 0.7 * s); context.lineTo(px - s, py + 0.7 * s); context.closePath();
      context.fillStyle = ink.card; context.fill();
      context.strokeStyle = ink.station; context.lineWidth = 1.8 * grow; context.stroke();
    }
    if (chosen >= 0 && x[chosen] >= 0) {
      context.beginPath(); context.arc(x[chosen], y[chosen], r * 3.2, 0, 7);
      context.strokeStyle = ink.ink; context.lineWidth = 2 * thin; context.stroke();
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    const ratio = canvas.width / canvas.clientWidth, long = data.scale[0] * scale, base = canvas.height - 12 * ratio;
    if (long < canvas.width / 2) {
      context.strokeStyle = context.fillStyle = ink.station; context.lineWidth = ratio;
      context.beginPath(); context.moveTo(14 * ratio, base - 5 * ratio); context.lineTo(14 * ratio, base); context.lineTo(14 * ratio + long, base); context.lineTo(14 * ratio + long, base - 5 * ratio); context.stroke();
      context.font = `${12 * ratio}px system-ui, sans-serif`;
      const metres = data.scale[1];
      context.fillText(metres >= 1000 ? `${metres / 1000} km` : `${metres} m`, 20 * ratio, base - 6 * ratio);
    }
  };

  let waiting = false;
  const refresh = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  const cursor = document.querySelector("#supply-cursor");
  const update = () => {
    replay(now);
    slider.value = String(now);
    slider.setAttribute("aria-valuetext", text(now));
    clock.textContent = text(now);
    NAMES.forEach((name, state) => {
      const place = root.querySelector(`[data-count="${name}"]`);
      if (place) place.textContent = totals[state].toLocaleString("en");
      root.dataset[`count${state}`] = totals[state];
    });
    root.dataset.time = now;
    if (cursor) {
      const left = Number(cursor.dataset.left), right = Number(cursor.dataset.right);
      const at = left + (right - left) * now / length;
      cursor.setAttribute("x1", at); cursor.setAttribute("x2", at);
    }
    for (const button of root.querySelectorAll("[data-jump]")) {
      const lit = Math.abs(Number(button.dataset.jump) - now) < 1;
      button.classList.toggle("now", lit);
    }
    if (!tip.hidden) describe(chosen);
  };
  const go = (time) => { now = Math.min(Math.max(Math.round(time), 0), length); update(); refresh(); };

  // Tooltip.
  const describe = (meter) => {
    if (meter < 0) { tip.hidden = true; return; }
    const state = STATE[aspects[meter]];
    const lines = [
      [data.points[meter], "b"],
      [`${data.serials[meter]}, ${data.vendors[data.vendor[meter]]}`],
    ];
    if (data.transformers[data.transformer[meter]]) lines.push([`transformer ${data.transformers[data.transformer[meter]]}`]);
    if (data.collectors[data.collector[meter]]) lines.push([`through ${data.collectors[data.collector[meter]]}`]);
    lines.push([`${data.labels[state]}${since[meter] ? " since " + text(since[meter]) : ""}`]);
    tip.replaceChildren(...lines.map(([line, element]) => {
      const part = document.createElement(element || "span");
      part.textContent = line;
      return part;
    }));
    tip.hidden = false;
    const px = (x[meter] - view.x) * view.zoom * pixels, py = (y[meter] - view.y) * view.zoom * pixels;
    const left = px + 16 + tip.offsetWidth > canvas.clientWidth ? px - 16 - tip.offsetWidth : px + 16;
    tip.style.transform = `translate(${Math.max(left, 0)}px, ${Math.min(Math.max(py - 20, 0), canvas.clientHeight - tip.offsetHeight)}px)`;
  };
  const nearest = (event) => {
    const box = canvas.getBoundingClientRect();
    const px = (event.clientX - box.left) / pixels / view.zoom + view.x;
    const py = (event.clientY - box.top) / pixels / view.zoom + view.y;
    let best = -1, limit = (12 / pixels / view.zoom) ** 2;
    for (let i = 0; i < count; i++) {
      const distance = (x[i] - px) ** 2 + (y[i] - py) ** 2;
      if (x[i] >= 0 && distance < limit) { best = i; limit = distance; }
    }
    return best;
  };

  // Zoom and pan.
  const bounded = () => {
    view.x = Math.min(Math.max(view.x, 0), data.width * (1 - 1 / view.zoom));
    view.y = Math.min(Math.max(view.y, 0), data.height * (1 - 1 / view.zoom));
  };
  const zoom = (factor, cx = view.x + data.width / 2 / view.zoom, cy = view.y + data.height / 2 / view.zoom) => {
    const to = Math.min(Math.max(view.zoom * factor, 1), 24);
    view.x = cx - (cx - view.x) * view.zoom / to;
    view.y = cy - (cy - view.y) * view.zoom / to;
    view.zoom = to;
    bounded(); refresh();
    if (!tip.hidden) describe(chosen);
  };
  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => { dragged = event; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { dragged = null; });
  canvas.addEventListener("pointercancel", () => { dragged = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged && view.zoom > 1) {
      view.x -= (event.clientX - dragged.clientX) / pixels / view.zoom;
      view.y -= (event.clientY - dragged.clientY) / pixels / view.zoom;
      dragged = event;
      bounded(); refresh();
      return;
    }
    const meter = nearest(event);
    if (meter !== chosen) { chosen = meter; describe(meter); refresh(); }
  });
  canvas.addEventListener("pointerleave", () => { if (!dragged) { chosen = -1; tip.hidden = true; refresh(); } });
  canvas.addEventListener("dblclick", (event) => {
    const box = canvas.getBoundingClientRect();
    zoom(2, (event.clientX - box.left) / pixels / view.zoom + view.x, (event.clientY - box.top) / pixels / view.zoom + view.y);
  });
  find("closer").addEventListener("click", () => zoom(1.6));
  find("farther").addEventListener("click", () => zoom(1 / 1.6));

  // Time.
  let playing = null;
  const stop = () => { playing = null; root.classList.remove("playing"); play.setAttribute("aria-label", "play"); };
  const tick = (instant) => {
    if (!playing) return;
    const passed = (instant - playing.instant) / 1000 * Number(speed.value);
    if (playing.time + passed >= length) { go(length); stop(); return; }
    go(playing.time + passed);
    requestAnimationFrame(tick);
  };
  const start = () => {
    if (now >= length) now = 0;
    root.classList.add("playing"); play.setAttribute("aria-label", "pause");
    requestAnimationFrame((instant) => { playing = { instant, time: now }; tick(instant); });
  };
  play.addEventListener("click", () => (playing ? stop() : start()));
  speed.addEventListener("change", () => { if (playing) playing = { instant: performance.now(), time: now }; });
  const step = (direction) => {
    stop();
    // the many changes of one disturbance are one step
    const times = [0, ...data.changes.map((change) => change[0]), length];
    const found = direction > 0 ? times.find((time) => time > now + 20) : times.findLast((time) => time < now - 20);
    go(found === undefined ? (direction > 0 ? length : 0) : Math.ceil(found));
  };
  find("earlier").addEventListener("click", () => step(-1));
  find("later").addEventListener("click", () => step(1));
  slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
  slider.addEventListener("keydown", (event) => {
    // By an interval, or the fifteenth part of it.
    const page = Number(root.dataset.step), arrow = Math.max(page / 15, 1);
    const steps = { ArrowLeft: -arrow, ArrowDown: -arrow, ArrowRight: arrow, ArrowUp: arrow, PageDown: -page, PageUp: page };
    if (!(event.key in steps)) return;
    event.preventDefault();
    stop(); go(now + (event.shiftKey ? Math.sign(steps[event.key]) : steps[event.key]));
  });
  for (const button of root.querySelectorAll("[data-jump]")) button.addEventListener("click", () => { stop(); go(Number(button.dataset.jump)); });
  const timeline = document.querySelector("#supply-chart svg");
  if (timeline && cursor) timeline.addEventListener("click", (event) => {
    const box = timeline.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width * timeline.viewBox.baseVal.width;
    const left = Number(cursor.dataset.left), right = Number(cursor.dataset.right);
    stop(); go((at - left) / (right - left) * length);
  });

  // Finding a meter.
  const search = find("search"), outcome = find("found");
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const wanted = search.value.trim().toLowerCase();
    if (!wanted) return;
    const matches = (name) => name.toLowerCase().includes(wanted);
    chosen = data.points.findIndex((name, i) => matches(name) || matches(data.serials[i]));
    outcome.textContent = chosen < 0 ? "no such meter" : x[chosen] < 0 ? "it has no position" : "";
    if (chosen >= 0 && x[chosen] >= 0) {
      if (view.zoom < 3) zoom(3 / view.zoom);
      view.x = x[chosen] - data.width / 2 / view.zoom;
      view.y = y[chosen] - data.height / 2 / view.zoom;
      bounded(); describe(chosen); refresh();
    }
  });

  root.classList.add("live");
  slider.max = String(length);
  now = Number(root.dataset.shown);
  readColours(); size(); update(); draw();
  new ResizeObserver(() => { size(); draw(); }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); refresh(); });
})();
