async (host, data, style) => {
  host.dataset.live = "";
  const { width, height, count, axes } = data;

  const load = async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
  };
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const numbers = (text) => new Uint16Array(bytes(text).buffer);
  const [originals, reconstructions, decoded] = await Promise.all(
    [data.originals, data.reconstructions, data.decoded?.images].map((url) => url && load(url)),
  );
  const labels = numbers(data.labels);
  const shares = [...numbers(data.places)].map((number) => number / 65535); // x, y, x, y … from the lowest to the highest
  const codes = numbers(data.codes.values);

  // The image is replaced only now, when nothing can fail any more.
  const root = host.attachShadow({ mode: "open" });
  const make = (parent, tag, attributes = {}, text = "") => {
    const isDrawn = parent.namespaceURI.endsWith("svg") || tag === "svg";
    const element = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    set(element, attributes);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const set = (element, attributes) => Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));

  root.append(Object.assign(document.createElement("style"), { textContent: style }));
  const explorer = Object.assign(document.createElement("div"), { className: "explorer" });
  root.append(explorer);
  const plot = make(explorer, "div", { class: "plot" });
  const svg = make(plot, "svg", { role: "group", "aria-label": `Scatter of ${count} codes; the probe in it moves with the arrow keys` });
  const legend = make(plot, "ul", { class: "legend", "aria-label": "Classes" });
  const swatch = (parent, label) => make(parent, "span", { class: "swatch", style: `background: ${data.colors[label]}` });
  const present = new Set(labels);
  data.classes.forEach((name, label) => {
    if (!present.has(label)) return;
    const entry = make(legend, "li");
    swatch(entry, label);
    entry.append(name);
  });

  const side = make(explorer, "div", { class: "side" });
  const canvas = (parent, caption) => {
    const figure = make(parent, "figure");
    make(figure, "figcaption", {}, caption);
    const scale = Math.max(1, 112 / Math.max(width, height));
    const shape = `width: ${Math.round(width * scale)}px; height: ${Math.round(height * scale)}px`;
    return make(figure, "canvas", { width, height, style: shape, role: "img", "aria-label": caption }).getContext("2d");
  };
  const title = make(side, "p", { class: "title" });
  const images = make(side, "div", { class: "images" });
  const [original, reconstruction] = [canvas(images, "original"), canvas(images, "reconstruction")];
  const code = make(side, "p", { class: "code" });
  const probed = decoded && canvas(side, "decoded at the probe");
  const place = make(side, "p", { class: "code" });
  make(side, "p", { class: "note" }, data.note);

  // The decoded images as numbers, to be mixed.
  const grid = data.decoded?.grid;
  const drawn = decoded && (() => {
    const sheet = Object.assign(document.createElement("canvas"), { width: grid * width, height: grid * height });
    const context = sheet.getContext("2d", { willReadFrequently: true });
    context.drawImage(decoded, 0, 0);
    return context.getImageData(0, 0, sheet.width, sheet.height).data;
  })();

  const value = (axis, share) => axes[axis].low + share * (axes[axis].high - axes[axis].low);
  const text = (number, [low, high]) => number.toFixed(Math.min(6, Math.max(0, Math.ceil(2 - Math.log10(high - low || 1)))));
  const textOn = (axis, share) => text(value(axis, share), [axes[axis].low, axes[axis].high]);

  let box; // where the plot is in the SVG, in pixels
  let shown = 0;
  const probe = [0.5, 0.5];

  const x = (share) => box.left + share * box.width;
  const y = (share) => box.top + (1 - share) * box.height;

  // Data sets are often sorted by class, and the last class must not cover the others.
  const order = [...Array(count).keys()].sort((a, b) => (Math.imul(a, 0x9e3779b1) >>> 0) - (Math.imul(b, 0x9e3779b1) >>> 0));
  const frame = make(svg, "g");
  const circles = make(svg, "g", { "aria-hidden": "true" });
  for (const index of order) make(circles, "circle", { class: "point", fill: data.colors[labels[index]] });
  const ring = make(svg, "circle", { class: "shown", r: 7 });
  const handle = make(svg, "g", {
    class: "probe", role: "slider", tabindex: 0, "aria-label": "Probe, moved by the arrow keys, with Shift in larger steps",
    "aria-valuemin": axes[0].low, "aria-valuemax": axes[0].high,
  });
  make(handle, "circle", { class: "reach", r: 20 });
  const cross = "M-11 0H-3M3 0H11M0 -11V-3M0 3V11M6 0A6 6 0 1 1 -6 0A6 6 0 1 1 6 0";
  for (const part of ["under", "mark"]) make(handle, "path", { class: part, d: cross });

  const layout = () => {
    const across = Math.max(240, plot.clientWidth);
    const down = Math.round(Math.min(0.86 * across, 480));
    box = { left: 52, top: 10, width: across - 66, height: down - 54 };
    set(svg, { viewBox: `0 0 ${across} ${down}`, height: down });
    frame.replaceChildren();
    const [bottom, right] = [box.top + box.height, box.left + box.width];
    const share = ({ low, high }, at) => (at - low) / (high - low);
    const sparse = across < 400 ? 2 : 1;
    for (const [at, name] of axes[0].ticks.filter((_, index) => index % sparse === 0)) {
      const left = x(share(axes[0], at));
      make(frame, "path", { class: "mesh", d: `M${left} ${box.top}V${bottom}` });
      make(frame, "text", { x: left, y: bottom + 16, "text-anchor": "middle" }, name);
    }
    for (const [at, name] of axes[1].ticks) {
      const top = y(share(axes[1], at));
      make(frame, "path", { class: "mesh", d: `M${box.left} ${top}H${right}` });
      make(frame, "text", { x: box.left - 6, y: top + 4, "text-anchor": "end" }, name);
    }
    make(frame, "path", { class: "edge", d: `M${box.left} ${box.top}V${bottom}H${right}` });
    make(frame, "text", { x: (box.left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, axes[0].name);
    const middle = (box.top + bottom) / 2;
    make(frame, "text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, axes[1].name);
    const radius = count <= 200 ? 4 : count <= 1000 ? 3 : 2.5;
    order.forEach((index, nth) => set(circles.children[nth], { cx: x(shares[2 * index]), cy: y(shares[2 * index + 1]), r: radius }));
    mark();
  };

  const mark = () => {
    set(ring, { cx: x(shares[2 * shown]), cy: y(shares[2 * shown + 1]) });
    set(handle, { transform: `translate(${x(probe[0])} ${y(probe[1])})` });
  };

  /// The point nearest to a place of the plot, and its distance in pixels.
  const nearest = (left, top) => {
    let best = [0, Infinity];
    for (let index = 0; index < count; index++) {
      const distance = Math.hypot(x(shares[2 * index]) - left, y(shares[2 * index + 1]) - top);
      if (distance < best[1]) best = [index, distance];
    }
    return best;
  };

  const show = (index) => {
    shown = index;
    const columns = Math.floor(originals.width / width);
    const [column, row] = [index % columns, Math.floor(index / columns)];
    for (const [context, sheet] of [[original, originals], [reconstruction, reconstructions]]) {
      context.drawImage(sheet, column * width, row * height, width, height, 0, 0, width, height);
    }
    title.replaceChildren();
    swatch(title, labels[index]);
    title.append(`${data.classes[labels[index]]} · image ${Math.floor((index * data.total) / count)}`);
    const { ranges, length } = data.codes;
    const values = ranges.map(([low, high], at) =>
      text(low + (codes[index * ranges.length + at] / 65535) * (high - low), [low, high]));
    code.textContent = `code (${values.join(", ")}${length > values.length ? `, … ${length} numbers` : ""})`;
    mark();
  };

  /// Mixes the four nearest images of the grid, whose first row is at the top.
  const decode = () => {
    const at = [probe[0] * (grid - 1), (1 - probe[1]) * (grid - 1)];
    const first = at.map((position) => Math.min(Math.floor(position), grid - 2));
    const [across, down] = at.map((position, axis) => position - first[axis]);
    const image = probed.createImageData(width, height);
    const stride = grid * width;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const from = (first[1] * height + row) * stride + first[0] * width + column;
        const mixed = (channel) => {
          const value = (right, below) => drawn[4 * (from + right * width + below * height * stride) + channel];
          const above = (1 - across) * value(0, 0) + across * value(1, 0);
          const below = (1 - across) * value(0, 1) + across * value(1, 1);
          return (1 - down) * above + down * below;
        };
        image.data.set([mixed(0), mixed(1), mixed(2), 255], 4 * (row * width + column));
      }
    }
    probed.putImageData(image, 0, 0);
  };

  const move = (across, up) => {
    [across, up].forEach((share, axis) => { probe[axis] = Math.min(1, Math.max(0, share)); });
    show(nearest(x(probe[0]), y(probe[1]))[0]);
    if (decoded) decode();
    place.textContent = `probe (${textOn(0, probe[0])}, ${textOn(1, probe[1])})`;
    set(handle, {
      "aria-valuenow": value(0, probe[0]),
      "aria-valuetext": `${axes[0].name} ${textOn(0, probe[0])}, ${axes[1].name} ${textOn(1, probe[1])}; `
        + `nearest point: ${data.classes[labels[shown]]}`,
    });
  };

  const position = (event) => {
    const frame = svg.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  const moveTo = (event) => {
    const [left, top] = position(event);
    move((left - box.left) / box.width, 1 - (top - box.top) / box.height);
  };
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  // A finger on the probe must not scroll the page: browsers ignore `touch-action` inside an SVG.
  handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  svg.addEventListener("pointermove", (event) => {
    if (handle.hasPointerCapture(event.pointerId)) return moveTo(event);
    if (event.pointerType === "touch") return;
    const [index, distance] = nearest(...position(event));
    if (distance < 16) show(index);
  });
  svg.addEventListener("click", (event) => {
    handle.focus({ preventScroll: true });
    moveTo(event);
  });
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const size = event.shiftKey ? 0.1 : 0.01;
    move(probe[0] + size * step[0], probe[1] + size * step[1]);
  });

  new ResizeObserver(layout).observe(plot);
  layout();
  move(...probe);
}
