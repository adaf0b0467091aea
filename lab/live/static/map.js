// A map of points and lines on a canvas. Drawn once into a picture that is larger than the view: panning only moves that.
const MARGIN = 0.5; // of the view, on each side of the picture
const ZOOM_STEP = 1.25, MOST_ZOOM = 400, PAN_STEP = 60, PICK = 14;
const SETTLE_MS = 90;

export class PointMap {
  // options: onPick(index), onDrawn(milliseconds), describe(index)
  constructor(canvas, options = {}) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.picture = document.createElement("canvas");
    this.options = options;
    this.x = this.y = new Float64Array(0);
    this.lines = [];
    this.symbols = [];
    this.styles = [];
    this.category = new Uint8Array(0);
    this.chosen = -1;
    this.fitted = true;
    this.view = { x: 0, y: 0, scale: 1 };
    this.bounds = [0, 0, 1, 1];
    this.stale = true;
    this.asked = false;
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  // lines: [{ path: Path2D in world units, colour, width }]
  setScene({ x, y, lines = [] }) {
    this.x = Float64Array.from(x);
    this.y = Float64Array.from(y);
    this.lines = lines;
    this.category = new Uint8Array(x.length);
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < x.length; i++) {
      left = Math.min(left, x[i]); right = Math.max(right, x[i]);
      top = Math.min(top, y[i]); bottom = Math.max(bottom, y[i]);
    }
    this.bounds = x.length ? [left, top, Math.max(right, left + 1), Math.max(bottom, top + 1)] : [0, 0, 1, 1];
    this.#spacing();
    if (!this.ready) this.#resize();
    this.fit();
  }

  // category: a number for each point; styles: by category { colour, shape, grow, order }; marks: devices above the points;
  // routes: lines as in setScene, between those and the points
  setState(category, styles, marks = [], routes = []) {
    this.category = category;
    this.styles = styles;
    this.marks = marks;
    this.routes = routes;
    this.refresh();
  }

  refresh() { this.stale = true; this.#ask(); }

  fit() {
    const [left, top, right, bottom] = this.bounds;
    const pad = 36;
    const scale = Math.min((this.width - 2 * pad) / (right - left), (this.height - 2 * pad) / (bottom - top));
    if (!(scale > 0)) return;
    this.view = { scale, x: (left + right) / 2 - this.width / 2 / scale, y: (top + bottom) / 2 - this.height / 2 / scale };
    this.least = scale;
    this.fitted = true;
    this.refresh();
  }

  choose(index, { show = true } = {}) {
    this.chosen = index;
    if (index >= 0 && show) {
      const [px, py] = this.#at(this.x[index], this.y[index]);
      if (px < 40 || py < 40 || px > this.width - 40 || py > this.height - 40) {
        this.view.x = this.x[index] - this.width / 2 / this.view.scale;
        this.view.y = this.y[index] - this.height / 2 / this.view.scale;
        this.stale = true;
      }
    }
    this.#ask();
  }

  panBy(dx, dy) {
    this.view.x -= dx / this.view.scale;
    this.view.y -= dy / this.view.scale;
    this.fitted = false;
    this.#ask();
  }

  zoomBy(factor, px = this.width / 2, py = this.height / 2) {
    const scale = Math.min(Math.max(this.view.scale * factor, this.least / 2), this.least * MOST_ZOOM);
    const wx = this.view.x + px / this.view.scale, wy = this.view.y + py / this.view.scale;
    this.view = { scale, x: wx - px / scale, y: wy - py / scale };
    this.fitted = false;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.refresh(), SETTLE_MS);
    this.#ask();
  }

  nearest(px, py) {
    const wx = this.view.x + px / this.view.scale, wy = this.view.y + py / this.view.scale;
    let best = -1, least = (PICK / this.view.scale) ** 2;
    for (let i = 0; i < this.x.length; i++) {
      const d = (this.x[i] - wx) ** 2 + (this.y[i] - wy) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }

  #at(x, y) { return [(x - this.view.x) * this.view.scale, (y - this.view.y) * this.view.scale]; }

  // The typical distance between neighbours decides how large a point may be.
  #spacing() {
    const [left, top, right, bottom] = this.bounds;
    this.apart = Math.sqrt((right - left) * (bottom - top) / Math.max(this.x.length, 1));
  }

  #resize() {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!width || !height) return;
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    [this.width, this.height] = [width, height];
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.ready = true;
    if (this.fitted) this.fit(); else this.refresh();
  }

  #ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.#frame(); });
  }

  #frame() {
    if (!this.ready || !this.width) return;
    const drawn = this.drawn;
    if (!this.stale && drawn && drawn.scale === this.view.scale) {
      const left = (this.view.x - drawn.x) * drawn.scale, top = (this.view.y - drawn.y) * drawn.scale;
      this.stale = left < 0 || top < 0 || left > this.width * 2 * MARGIN || top > this.height * 2 * MARGIN;
    }
    if (this.stale || !drawn) this.#paint();
    this.#show();
    this.options.onFrame?.();
  }

  // Move the picture to where it belongs; between two zooms it is stretched until it is drawn again.
  #show() {
    const { context, ratio, drawn, view } = this;
    const stretch = view.scale / drawn.scale;
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (stretch !== 1) { context.fillStyle = this.paper; context.fillRect(0, 0, this.canvas.width, this.canvas.height); }
    context.drawImage(this.picture, Math.round((drawn.x - view.x) * view.scale * ratio), Math.round((drawn.y - view.y) * view.scale * ratio),
      Math.round(this.picture.width * stretch), Math.round(this.picture.height * stretch));
    if (this.chosen >= 0) {
      const [px, py] = this.#at(this.x[this.chosen], this.y[this.chosen]);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.strokeStyle = this.colours.ink;
      context.lineWidth = 2.5;
      context.beginPath(); context.arc(px, py, 11, 0, 7); context.stroke();
    }
    this.#scaleBar();
  }

  #paint() {
    this.stale = false;
    const began = performance.now();
    const { view, ratio, picture } = this;
    this.colours = this.options.colours?.() ?? { ink: "#000", paper: "#fff", soft: "#666" };
    this.paper = this.colours.paper;
    const wide = Math.round(this.width * (1 + 2 * MARGIN) * ratio), high = Math.round(this.height * (1 + 2 * MARGIN) * ratio);
    if (picture.width !== wide || picture.height !== high) { picture.width = wide; picture.height = high; }
    this.drawn = { scale: view.scale, x: view.x - MARGIN * this.width / view.scale, y: view.y - MARGIN * this.height / view.scale };
    const pen = picture.getContext("2d", { alpha: false });
    const zoom = view.scale * ratio;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = this.paper;
    pen.fillRect(0, 0, wide, high);
    pen.setTransform(zoom, 0, 0, zoom, -this.drawn.x * zoom, -this.drawn.y * zoom);
    for (const line of [...this.lines, ...(this.routes ?? [])]) {
      pen.strokeStyle = line.colour();
      pen.lineWidth = line.width / view.scale;
      pen.stroke(line.path);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#points(pen, wide / ratio, high / ratio);
    for (const mark of this.marks ?? []) this.#mark(pen, mark);
    this.options.onDrawn?.(performance.now() - began);
  }

  #points(pen, wide, high) {
    const { drawn, category } = this;
    const radius = Math.min(Math.max(this.apart * drawn.scale * 0.24, 1.4), 7);
    const paths = this.styles.map(() => new Path2D());
    for (let i = 0; i < category.length; i++) {
      const style = this.styles[category[i]];
      if (!style) continue;
      const px = (this.x[i] - drawn.x) * drawn.scale, py = (this.y[i] - drawn.y) * drawn.scale;
      if (px < -10 || py < -10 || px > wide + 10 || py > high + 10) continue;
      trace(paths[category[i]], style.shape, px, py, Math.max(radius * (style.grow ?? 1), style.least ?? 0));
    }
    const order = this.styles.map((_, at) => at).sort((a, b) => (this.styles[a].order ?? 0) - (this.styles[b].order ?? 0));
    for (const at of order) ink(pen, paths[at], this.styles[at], this.paper);
  }

  #mark(pen, mark) {
    const px = (mark.x - this.drawn.x) * this.drawn.scale, py = (mark.y - this.drawn.y) * this.drawn.scale;
    const path = new Path2D();
    trace(path, mark.shape, px, py, mark.radius);
    pen.fillStyle = mark.fill ?? this.paper; pen.fill(path);
    pen.strokeStyle = mark.colour; pen.lineWidth = 2; pen.stroke(path);
    if (mark.label && this.drawn.scale > this.least * 1.6) {
      pen.font = "600 12px system-ui, sans-serif";
      pen.lineWidth = 3.5; pen.strokeStyle = this.paper; pen.lineJoin = "round";
      pen.strokeText(mark.label, px + mark.radius + 4, py + 4);
      pen.fillStyle = this.colours.ink; pen.fillText(mark.label, px + mark.radius + 4, py + 4);
    }
  }

  #scaleBar() {
    if (!this.options.unitsPerMetre) return;
    const { context } = this;
    const metres = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000].find((m) => m * this.options.unitsPerMetre * this.view.scale > 70);
    if (!metres) return;
    const long = metres * this.options.unitsPerMetre * this.view.scale, base = this.height - 14, left = this.width - long - 16;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.strokeStyle = context.fillStyle = this.colours.soft;
    context.lineWidth = 1.5;
    context.beginPath(); context.moveTo(left, base - 5); context.lineTo(left, base); context.lineTo(left + long, base); context.lineTo(left + long, base - 5); context.stroke();
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillText(metres >= 1000 ? `${metres / 1000} km` : `${metres} m`, left + long / 2, base - 6);
    context.textAlign = "start";
  }

  #listen() {
    const { canvas } = this;
    const pointers = new Map();
    let moved = 0;
    const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      if (pointers.size === 1) { this.panBy(now[0] - before[0], now[1] - before[1]); moved += Math.hypot(now[0] - before[0], now[1] - before[1]); }
      else {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        this.zoomBy(Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(Math.hypot(before[0] - other[0], before[1] - other[1]), 1), other[0], other[1]);
        moved = Infinity;
      }
      pointers.set(event.pointerId, now);
    });
    const leave = (event) => {
      if (pointers.delete(event.pointerId) && event.type === "pointerup" && moved < 4) this.options.onPick?.(this.nearest(...place(event)));
    };
    canvas.addEventListener("pointerup", leave);
    canvas.addEventListener("pointercancel", leave);
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoomBy(ZOOM_STEP ** (-event.deltaY / 100), ...place(event)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const act = {
        ArrowLeft: () => this.panBy(PAN_STEP, 0), ArrowRight: () => this.panBy(-PAN_STEP, 0), ArrowUp: () => this.panBy(0, PAN_STEP), ArrowDown: () => this.panBy(0, -PAN_STEP),
        "+": () => this.zoomBy(ZOOM_STEP), "=": () => this.zoomBy(ZOOM_STEP), "-": () => this.zoomBy(1 / ZOOM_STEP), 0: () => this.fit(),
        n: () => this.options.onNext?.(), Escape: () => this.options.onPick?.(-1),
      }[event.key];
      if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); act(); }
    });
  }
}

function trace(path, shape, x, y, r) {
  switch (shape) {
    case "square": path.rect(x - r, y - r, 2 * r, 2 * r); break;
    case "diamond": path.moveTo(x, y - 1.35 * r); path.lineTo(x + 1.35 * r, y); path.lineTo(x, y + 1.35 * r); path.lineTo(x - 1.35 * r, y); path.closePath(); break;
    case "triangle": path.moveTo(x, y - 1.25 * r); path.lineTo(x + 1.2 * r, y + 0.85 * r); path.lineTo(x - 1.2 * r, y + 0.85 * r); path.closePath(); break;
    case "wedge": path.moveTo(x, y + 1.25 * r); path.lineTo(x + 1.2 * r, y - 0.85 * r); path.lineTo(x - 1.2 * r, y - 0.85 * r); path.closePath(); break;
    case "cross": path.moveTo(x - r, y - r); path.lineTo(x + r, y + r); path.moveTo(x + r, y - r); path.lineTo(x - r, y + r); break;
    default:
      // An arc of two pixels cannot be told from a square, which is drawn much faster.
      if (r < 2) path.rect(x - r, y - r, 2 * r, 2 * r);
      else { path.moveTo(x + r, y); path.arc(x, y, r, 0, 7); }
  }
}

function ink(pen, path, style, paper) {
  pen.fillStyle = pen.strokeStyle = style.colour;
  if (style.shape === "cross") { pen.lineWidth = 2.4; pen.stroke(path); }
  else if (style.hollow) { pen.lineWidth = 2; pen.save(); pen.fillStyle = paper; pen.fill(path); pen.restore(); pen.stroke(path); }
  else pen.fill(path);
}
