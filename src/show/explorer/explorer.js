// The explorer in place of its image. Shares of an axis go from 0, its lowest value, to 1.

const explore = async (host, data, style) => {
  host.dataset.live = "";
  const { width, height, channels, count, length } = data;

  const load = async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
  };
  const [originals, reconstructions, decodedSheet, decoder, encoder, classifier] = await Promise.all([
    ...[data.originals, data.reconstructions, data.decoded?.images].map((url) => url && load(url)),
    ...[data.decoder, data.board?.encoder, data.board?.classifier?.network].map((packed) => packed && unpacked(packed)),
  ]);
  const numbers = (text) => new Uint16Array(bytesOf(text).buffer);
  /// The columns of a table, each value in 65,536 steps of its column's range.
  const columnsOf = (table) => {
    const steps = numbers(table.values);
    return table.ranges.map(([low, high], column) =>
      Float64Array.from({ length: count }, (_, row) => low + (steps[row * table.ranges.length + column] / 65535) * (high - low)));
  };
  const tables = Object.fromEntries(["codes", "pca", "tsne"].filter((name) => data[name]).map((name) =>
    [name, { names: data[name].names, columns: columnsOf(data[name]) }]));
  const codes = tables.codes.columns;
  const isWhole = codes.length === length; // very long codes are sent in part if the decoder is not here
  const groups = Object.fromEntries(["label", "cluster"].filter((name) => data.groups[name]).map((name) =>
    [name, { ...data.groups[name], of: numbers(data.groups[name].of), hidden: new Set() }]));
  const codeOf = (index) => Float64Array.from(codes, (column) => column[index]);
  const imageNumber = (index) => Math.floor((index * data.total) / count);

  // The image is replaced only now, when nothing can fail any more.
  const root = host.attachShadow({ mode: "open" });
  const set = (element, attributes) => Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  const make = (parent, tag, attributes = {}, text = "") => {
    const isDrawn = parent.namespaceURI?.endsWith("svg") || tag === "svg";
    const element = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    set(element, attributes);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  make(root, "style", {}, `${style}\n.thumb { background-image: url("${data.originals}"); }`);
  const explorer = make(root, "div", { class: "explorer" });
  const toolbar = make(explorer, "div", { class: "toolbar", role: "toolbar", "aria-label": "Maps and marks" });
  const boardPart = encoder && make(explorer, "section", { class: "drawing", "aria-label": "Draw" });
  const mapsPart = make(explorer, "div", { class: "maps" });
  const side = make(explorer, "div", { class: "side" });
  const legend = make(explorer, "ul", { class: "legend", "aria-label": "Classes: show or hide; with Shift, only this one" });
  const gallery = make(explorer, "section", { class: "gallery", "aria-label": "Marked images" });
  const spoken = make(explorer, "p", { class: "spoken", role: "status" });

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
  const codeLine = make(side, "p", { class: "code" });
  const neighboursPart = isWhole && make(side, "section", { "aria-label": "Nearest neighbours" });
  if (isWhole) make(neighboursPart, "p", { class: "caption" }, "nearest codes");
  const neighboursRow = isWhole && make(neighboursPart, "div", { class: "thumbs" });
  const probed = canvas(side, "decoded at the probe");
  const place = make(side, "p", { class: "code" });
  make(side, "p", { class: "note" }, data.note);

  const text = (number, [low, high]) => number.toFixed(Math.min(6, Math.max(0, Math.ceil(2 - Math.log10(high - low || 1)))));

  let group = groups.label;
  let shown = 0; // the point under the pointer
  let chosen = 0; // the one whose other numbers the probe has
  let code = codeOf(0); // at the probe
  let neighbours = [];
  const marked = new Set();
  const maps = [];
  const isVisible = (index) => Object.values(groups).every(({ of, hidden }) => !hidden.has(of[index]));
  const visibleMaps = () => maps.filter((map) => !map.section.hidden);
  let scheme = "light"; // or dark, as the page around it
  const colorOf = (index) => group[scheme][group.of[index]];
  const nameOf = (index) => `${groups.label.names[groups.label.of[index]]}, image ${imageNumber(index)}`;

  // Images.
  const put = (context, pixels) => {
    const image = context.createImageData(width, height);
    for (let at = 0; at < width * height; at++) {
      for (let channel = 0; channel < 3; channel++) {
        image.data[4 * at + channel] = Math.round(255 * pixels[at * channels + (channels === 3 ? channel : 0)]);
      }
      image.data[4 * at + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };
  const corner = (index) => {
    const columns = Math.floor(originals.width / width);
    return [(index % columns) * width, Math.floor(index / columns) * height];
  };
  const putFrom = (context, sheet, index) => context.drawImage(sheet, ...corner(index), width, height, 0, 0, width, height);
  const thumb = (parent, index) => {
    const zoom = 34 / Math.max(width, height);
    const [left, top] = corner(index).map((at) => -at * zoom);
    const button = make(parent, "button", {
      class: "thumb", type: "button", title: nameOf(index), "aria-label": nameOf(index),
      style: `width: ${width * zoom}px; height: ${height * zoom}px; background-size: ${originals.width * zoom}px auto; `
        + `background-position: ${left}px ${top}px; border-color: ${colorOf(index)}`,
    });
    button.addEventListener("pointerenter", () => show(index));
    button.addEventListener("focus", () => show(index));
    button.addEventListener("click", () => choose(index));
    return button;
  };

  /// Of a plane decoded beforehand the four nearest images are mixed; its first row is at the top.
  const mix = decodedSheet && (() => {
    const { grid, axes } = data.decoded;
    const sheet = Object.assign(document.createElement("canvas"), { width: grid * width, height: grid * height });
    const context = sheet.getContext("2d", { willReadFrequently: true });
    context.drawImage(decodedSheet, 0, 0);
    const drawn = context.getImageData(0, 0, sheet.width, sheet.height).data;
    return (point) => {
      const shares = point.map((value, axis) => Math.min(1, Math.max(0, (value - axes[axis][0]) / (axes[axis][1] - axes[axis][0]))));
      const at = [shares[0] * (grid - 1), (1 - shares[1]) * (grid - 1)];
      const first = at.map((position) => Math.min(Math.floor(position), grid - 2));
      const [across, down] = at.map((position, axis) => position - first[axis]);
      const stride = grid * width;
      return Float64Array.from({ length: width * height * channels }, (_, index) => {
        const [pixel, channel] = [Math.floor(index / channels), index % channels];
        const from = (first[1] * height + Math.floor(pixel / width)) * stride + first[0] * width + (pixel % width);
        const value = (right, below) => drawn[4 * (from + right * width + below * height * stride) + channel] / 255;
        const above = (1 - across) * value(0, 0) + across * value(1, 0);
        return (1 - down) * above + down * ((1 - across) * value(0, 1) + across * value(1, 1));
      });
    };
  })();
  let planePoint = [0, 0]; // where the probe is on that plane

  /// What takes time is done once a frame, for the latest state.
  const due = new Set();
  const later = (task) => {
    if (due.size === 0) {
      requestAnimationFrame(() => {
        const tasks = [...due];
        due.clear();
        tasks.forEach((run) => run());
      });
    }
    due.add(task);
  };
  const reconstruct = () => decoder && put(reconstruction, decoder(codeOf(shown)));
  const decode = () => put(probed, decoder ? decoder(code) : mix(planePoint));
  const paint = () => visibleMaps().forEach((map) => map.paint());

  /// The coordinate of a code along a principal component.
  const scoreOf = (code, component) =>
    data.plane.components[component].reduce((sum, weight, at) => sum + weight * (code[at] - data.plane.mean[at]), 0);
  const distances = (from) => {
    const sums = new Float64Array(count);
    codes.forEach((column, axis) => column.forEach((value, index) => { sums[index] += (value - from[axis]) ** 2; }));
    return sums;
  };
  const nearestTo = (from, many) => {
    const sums = distances(from);
    const best = [];
    for (let index = 0; index < count; index++) {
      if (!isVisible(index) || (best.length === many && sums[index] >= sums[best[many - 1]])) continue;
      best.splice(best.findLastIndex((other) => sums[other] <= sums[index]) + 1, 0, index);
      best.length = Math.min(best.length, many);
    }
    return best;
  };

  /// Shows a point beside the maps.
  const show = (index) => {
    shown = index;
    putFrom(original, originals, index);
    if (decoder) later(reconstruct);
    else putFrom(reconstruction, reconstructions, index);
    title.replaceChildren();
    make(title, "span", { class: "swatch", style: `background: ${colorOf(index)}` });
    title.append(`${groups.label.names[groups.label.of[index]]} · image ${imageNumber(index)}`);
    if (groups.cluster) title.append(` · ${groups.cluster.names[groups.cluster.of[index]]}`);
    const values = codes.slice(0, 8).map((column, axis) => text(column[index], data.codes.ranges[axis]));
    codeLine.textContent = `code (${values.join(", ")}${length > values.length ? `, … ${length} numbers` : ""})`;
    if (isWhole) later(showNeighbours);
    later(mark);
  };
  const showNeighbours = () => {
    neighbours = nearestTo(codeOf(shown), 6).filter((index) => index !== shown).slice(0, 5);
    neighboursRow.replaceChildren();
    neighbours.forEach((index) => thumb(neighboursRow, index));
    mark();
  };
  const mark = () => visibleMaps().forEach((map) => map.mark());

  /// Takes the probe to a point's code, and that point's numbers for all axes that it does not move along.
  const choose = (index) => {
    chosen = index;
    show(index);
    code = codeOf(index);
    if (data.decoded) planePoint = tables[data.decoded.map].columns.slice(0, 2).map((column) => column[index]);
    maps.forEach((map) => map.follow());
    place.textContent = `probe at image ${imageNumber(index)}`;
    later(decode);
    later(mark);
  };

  const select = (indices, adds) => {
    if (!adds) marked.clear();
    indices.forEach((index) => marked.add(index));
    listMarked();
  };
  const listMarked = () => {
    const GALLERY = 240;
    const all = [...marked].sort((a, b) => group.of[a] - group.of[b] || a - b);
    gallery.replaceChildren();
    clear.disabled = all.length === 0;
    spoken.textContent = `${all.length} of ${count} points marked`;
    later(paint);
    if (all.length === 0) return;
    const counts = new Map();
    for (const index of all) counts.set(group.of[index], (counts.get(group.of[index]) ?? 0) + 1);
    const parts = [...counts].map(([label, many]) => `${many} of ${group.names[label]}`).slice(0, 12);
    const few = all.length > GALLERY ? all.filter((_, at) => Math.floor((at * GALLERY) / all.length) > Math.floor(((at - 1) * GALLERY) / all.length)) : all;
    const more = few.length < all.length ? `; ${few.length} of them are shown` : "";
    make(gallery, "p", { class: "caption" }, `${all.length} marked: ${parts.join(", ")}${more}`);
    const thumbs = make(gallery, "div", { class: "thumbs" });
    few.forEach((index) => thumb(thumbs, index));
  };

  // Data sets are often sorted by class, and the last class must not cover the others.
  const order = [...Array(count).keys()].sort((a, b) => (Math.imul(a, 0x9e3779b1) >>> 0) - (Math.imul(b, 0x9e3779b1) >>> 0));

  /// The lowest and highest value of an axis, with some space around the points.
  const extent = (column) => {
    let [low, high] = [Infinity, -Infinity];
    for (const value of column) [low, high] = [Math.min(low, value), Math.max(high, value)];
    const space = high > low ? 0.04 * (high - low) : Math.abs(low) / 2 || 0.5;
    return [low - space, high + space];
  };
  const ticksOf = ([low, high], many) => {
    const rough = (high - low) / many;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * unit).find((step) => step >= rough);
    const digits = Math.min(20, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    const first = Math.ceil(low / step);
    return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, at) => {
      const value = (first + at) * step;
      return [value, Math.abs(value) >= 1e6 || step < 1e-4 ? value.toPrecision(3) : value.toFixed(digits)];
    });
  };

  const lasso = { isOn: false };
  const reducesMotion = matchMedia("(prefers-reduced-motion: reduce)");

  /// A map: of two columns of a table with a probe, or of three that turns.
  const addMap = (name, source, axisCount) => {
    const isSpatial = axisCount === 3;
    let table = tables[source];
    let axes = [...Array(axisCount).keys()];
    let extents;
    const section = make(mapsPart, "section", { class: "map", "aria-label": `Map: ${name}` });
    section.hidden = true;
    const header = make(section, "header");
    make(header, "span", { class: "caption" }, name);
    const plot = make(section, "div", { class: "plot" });
    const points = make(plot, "canvas", { class: "points", "aria-hidden": "true" });
    const svg = make(plot, "svg", isSpatial
      ? { tabindex: 0, role: "application", "aria-label": `${name}, ${count} codes; the arrow keys turn it` }
      : { role: "group", "aria-label": `${name}, ${count} codes; the probe in it moves with the arrow keys` });
    const frame = make(svg, "g", { "aria-hidden": "true" });
    const nearRings = Array.from({ length: 5 }, () => make(svg, "circle", { class: "near", r: 6 }));
    const ring = make(svg, "circle", { class: "shown", r: 7 });
    const outline = make(svg, "path", { class: "lasso" });
    const handle = make(svg, "g", isSpatial ? { class: "probe" } : {
      class: "probe", role: "slider", tabindex: 0,
      "aria-label": `Probe on ${name}: arrow keys move it, with Shift in larger steps; Enter marks the nearest point, Escape clears the marks`,
    });
    make(handle, "circle", { class: "reach", r: 20 });
    const cross = "M-11 0H-3M3 0H11M0 -11V-3M0 3V11M6 0A6 6 0 1 1 -6 0A6 6 0 1 1 6 0";
    for (const part of ["under", "mark"]) make(handle, "path", { class: part, d: cross });

    let box = { left: 0, top: 0, width: 1, height: 1 };
    const probe = [0.5, 0.5]; // in shares of the axes
    const turn = { yaw: -0.6, pitch: 0.35 };
    const lefts = new Float64Array(count);
    const tops = new Float64Array(count);
    const depths = new Float64Array(isSpatial ? count : 0);
    const share = (axis, value) => (value - extents[axis][0]) / (extents[axis][1] - extents[axis][0]);
    const value = (axis, share) => extents[axis][0] + share * (extents[axis][1] - extents[axis][0]);
    const textOn = (axis) => text(value(axis, probe[axis]), extents[axis]);

    /// Where a point is in the plot, from shares of its axes; of three axes also how near it is.
    const project = (shares) => {
      if (!isSpatial) return [box.left + shares[0] * box.width, box.top + (1 - shares[1]) * box.height];
      const [x, y, z] = shares.map((share) => 2 * share - 1);
      const [across, away] = [x * Math.cos(turn.yaw) - y * Math.sin(turn.yaw), x * Math.sin(turn.yaw) + y * Math.cos(turn.yaw)];
      const [up, depth] = [z * Math.cos(turn.pitch) - away * Math.sin(turn.pitch), z * Math.sin(turn.pitch) + away * Math.cos(turn.pitch)];
      const size = (0.27 * Math.min(box.width, box.height) * 4.5) / (4.5 + depth);
      return [box.left + box.width / 2 + across * size, box.top + box.height / 2 - up * size, -depth];
    };
    const locate = () => {
      const columns = axes.map((axis) => table.columns[axis]);
      for (let index = 0; index < count; index++) {
        const [left, top, depth] = project(columns.map((column, axis) => share(axis, column[index])));
        [lefts[index], tops[index]] = [left, top];
        if (isSpatial) depths[index] = depth;
      }
    };

    const layout = () => {
      if (section.hidden || plot.clientWidth === 0) return;
      const across = Math.max(220, plot.clientWidth);
      const down = Math.round(Math.min(0.86 * across, 480));
      box = isSpatial ? { left: 4, top: 4, width: across - 8, height: down - 8 } : { left: 52, top: 10, width: across - 62, height: down - 54 };
      set(svg, { viewBox: `0 0 ${across} ${down}`, height: down });
      const density = window.devicePixelRatio || 1;
      Object.assign(points, { width: Math.round(across * density), height: Math.round(down * density) });
      points.style.cssText = `width: ${across}px; height: ${down}px`;
      arrange();
    };
    const arrange = () => {
      extents = axes.map((axis) => extent(table.columns[axis]));
      drawFrame();
      locate();
      paintPoints();
      markPoints();
    };
    const drawFrame = () => {
      frame.replaceChildren();
      const name = (axis) => table.names[axes[axis]];
      if (isSpatial) {
        for (let axis = 0; axis < 3; axis++) {
          const end = [0, 0, 0].map((_, other) => (other === axis ? 1 : 0));
          const [[x1, y1], [x2, y2]] = [project([0, 0, 0]), project(end)];
          make(frame, "path", { class: "edge", d: `M${x1} ${y1}L${x2} ${y2}` });
          const [x, y] = project(end.map((share) => 1.1 * share));
          const half = 3.5 * name(axis).length;
          const [left, top] = [Math.min(Math.max(x, half), box.width - half), Math.min(Math.max(y + 4, 14), box.height)];
          make(frame, "text", { x: left, y: top, "text-anchor": "middle" }, name(axis));
        }
        return;
      }
      const [bottom, right] = [box.top + box.height, box.left + box.width];
      for (const [at, label] of ticksOf(extents[0], box.width < 300 ? 4 : 7)) {
        const left = box.left + share(0, at) * box.width;
        make(frame, "path", { class: "mesh", d: `M${left} ${box.top}V${bottom}` });
        make(frame, "text", { x: left, y: bottom + 16, "text-anchor": "middle" }, label);
      }
      for (const [at, label] of ticksOf(extents[1], 6)) {
        const top = box.top + (1 - share(1, at)) * box.height;
        make(frame, "path", { class: "mesh", d: `M${box.left} ${top}H${right}` });
        make(frame, "text", { x: box.left - 6, y: top + 4, "text-anchor": "end" }, label);
      }
      make(frame, "path", { class: "edge", d: `M${box.left} ${box.top}V${bottom}H${right}` });
      make(frame, "text", { x: (box.left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, name(0));
      const middle = (box.top + bottom) / 2;
      make(frame, "text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, name(1));
    };

    const paintPoints = () => {
      const context = points.getContext("2d");
      const density = window.devicePixelRatio || 1;
      context.setTransform(density, 0, 0, density, 0, 0);
      context.clearRect(0, 0, points.width, points.height);
      const size = (count <= 200 ? 4 : count <= 1000 ? 3 : 2.5) * (box.width < 300 ? 0.85 : 1);
      const back = isSpatial ? [...order].sort((a, b) => depths[a] - depths[b]) : order;
      // What is marked lies above what is not.
      for (const isMarked of marked.size > 0 ? [false, true] : [false]) {
        for (const index of back) {
          if (marked.has(index) !== isMarked || !isVisible(index)) continue;
          context.globalAlpha = marked.size === 0 ? 0.75 : isMarked ? 0.95 : 0.13;
          context.fillStyle = colorOf(index);
          context.beginPath();
          context.arc(lefts[index], tops[index], isSpatial ? size * (1 + 0.25 * depths[index]) : size, 0, 2 * Math.PI);
          context.fill();
        }
      }
    };
    const markPoints = () => {
      set(ring, { cx: lefts[shown], cy: tops[shown] });
      nearRings.forEach((circle, rank) => {
        const index = neighbours[rank];
        circle.style.display = index === undefined ? "none" : "";
        if (index !== undefined) set(circle, { cx: lefts[index], cy: tops[index] });
      });
      if (isSpatial) return placeHandle(project(valuesOf().map((value, axis) => share(axis, value))));
      placeHandle(project(probe));
      set(handle, {
        "aria-valuemin": extents[0][0], "aria-valuemax": extents[0][1], "aria-valuenow": value(0, probe[0]),
        "aria-valuetext": `${table.names[axes[0]]} ${textOn(0)}, ${table.names[axes[1]]} ${textOn(1)}; nearest point: ${nameOf(shown)}`,
      });
    };
    const placeHandle = ([left, top]) => set(handle, { transform: `translate(${left} ${top})` });
    /// Where the probe's code is on this map.
    const valuesOf = () => {
      if (source === "codes") return axes.map((axis) => code[axis]);
      if (source === "tsne" || code.length < length) return axes.map((axis) => table.columns[axis][shown]);
      return axes.map((axis) => scoreOf(code, axis));
    };

    /// The visible point nearest to a place of the plot, and its distance in pixels.
    const nearest = (left, top) => {
      let best = [shown, Infinity];
      for (let index = 0; index < count; index++) {
        const distance = Math.hypot(lefts[index] - left, tops[index] - top);
        if (distance < best[1] && isVisible(index)) best = [index, distance];
      }
      return best;
    };

    const move = (across, up) => {
      [across, up].forEach((share, axis) => { probe[axis] = Math.min(1, Math.max(0, share)); });
      const [nearestIndex] = nearest(...project(probe));
      show(nearestIndex);
      const values = [0, 1].map((axis) => value(axis, probe[axis]));
      const at = `${table.names[axes[0]]} ${textOn(0)}, ${table.names[axes[1]]} ${textOn(1)}`;
      if (source === "codes" && isWhole) {
        code = codeOf(chosen);
        axes.forEach((axis, rank) => { code[axis] = values[rank]; });
        place.textContent = `probe at ${at}${length > 2 ? `; the other numbers as in image ${imageNumber(chosen)}` : ""}`;
      } else if (source === "pca" && isWhole) {
        const { mean, components } = data.plane;
        code = Float64Array.from(mean, (mean, at) => mean + components[axes[0]][at] * values[0] + components[axes[1]][at] * values[1]);
        place.textContent = `probe at ${at}, on the plane${length > 2 ? " (most codes lie beside it)" : ""}`;
      } else {
        code = codeOf(nearestIndex);
        place.textContent = `probe at ${at}: the nearest point, as this map has no inverse`;
      }
      if (data.decoded) {
        const isPlane = source === data.decoded.map && axes[0] === 0 && axes[1] === 1;
        planePoint = isPlane ? values : tables[data.decoded.map].columns.slice(0, 2).map((column) => column[nearestIndex]);
        if (isPlane) place.textContent = `probe at ${at}`;
      }
      maps.forEach((other) => other !== map && other.follow());
      later(decode);
      later(mark);
    };
    const follow = () => {
      if (isSpatial || !extents) return;
      const nearestCode = source === "tsne" && isWhole ? nearestTo(code, 1)[0] ?? shown : shown;
      const values = source === "tsne" ? axes.map((axis) => table.columns[axis][nearestCode]) : valuesOf();
      values.forEach((value, axis) => { probe[axis] = Math.min(1, Math.max(0, share(axis, value))); });
    };

    const rotate = (yaw, pitch) => {
      turn.yaw += yaw;
      turn.pitch = Math.min(1.5, Math.max(-1.5, turn.pitch + pitch));
      later(turned);
    };
    const turned = () => {
      drawFrame();
      locate();
      paintPoints();
      markPoints();
    };

    // A pointer on the probe moves it; elsewhere it shows, takes the probe there, marks or turns.
    const position = (event) => {
      const frame = svg.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    };
    const moveTo = (event) => {
      const [left, top] = position(event);
      move((left - box.left) / box.width, 1 - (top - box.top) / box.height);
    };
    const tap = (event) => {
      const [index, distance] = nearest(...position(event));
      if (distance < 9) chosen = index;
      if (isSpatial) return distance < 16 && choose(index);
      handle.focus({ preventScroll: true });
      moveTo(event);
    };
    let path = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const isProbe = !isSpatial && !lasso.isOn && handle.contains(event.target);
      path = { isProbe, turns: isSpatial && !lasso.isOn, points: [position(event)], isMoved: false };
      if (isProbe) handle.focus({ preventScroll: true });
      if (isProbe || event.pointerType !== "touch" || lasso.isOn || isSpatial) {
        svg.setPointerCapture(event.pointerId);
        event.preventDefault();
      }
      if (path.turns) svg.focus({ preventScroll: true });
    });
    // A finger on the probe must not scroll the page: browsers ignore `touch-action` inside an SVG.
    svg.addEventListener("touchstart", (event) => {
      if (isSpatial || lasso.isOn || handle.contains(event.target)) event.preventDefault();
    }, { passive: false });
    svg.addEventListener("pointermove", (event) => {
      const at = position(event);
      if (!path) {
        const [index, distance] = nearest(...at);
        if (event.pointerType !== "touch" && distance < 16 && index !== shown) show(index);
        return;
      }
      if (path.isProbe) return moveTo(event);
      if (event.pointerType === "touch" && !lasso.isOn && !isSpatial) return;
      const last = path.points.at(-1);
      path.isMoved ||= Math.hypot(at[0] - path.points[0][0], at[1] - path.points[0][1]) > 4;
      if (path.turns) rotate((at[0] - last[0]) * 0.012, (at[1] - last[1]) * 0.012);
      path.points.push(at);
      if (path.isMoved && !path.turns) set(outline, { d: `M${path.points.map((point) => point.join(" ")).join("L")}Z` });
    });
    svg.addEventListener("pointerup", (event) => {
      if (!path) return;
      const { isProbe, turns, points: corners, isMoved } = path;
      path = null;
      set(outline, { d: "" });
      if (isProbe) return;
      if (!isMoved) return tap(event);
      if (turns) return;
      const inside = order.filter((index) => isVisible(index) && isInside(corners, lefts[index], tops[index]));
      select(inside, event.shiftKey);
    });
    for (const end of ["pointercancel", "lostpointercapture"]) {
      svg.addEventListener(end, () => {
        path = null;
        set(outline, { d: "" });
      });
    }
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
      if (!step && event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "Escape") return select([], false);
      if (event.key === "Enter") {
        if (marked.delete(shown)) listMarked();
        else select([shown], true);
        return;
      }
      if (isSpatial) return rotate((event.shiftKey ? 0.3 : 0.08) * step[0], -(event.shiftKey ? 0.3 : 0.08) * step[1]);
      const size = event.shiftKey ? 0.1 : 0.01;
      move(probe[0] + size * step[0], probe[1] + size * step[1]);
    });

    const pick = (label, options, current, change) => {
      if (options.length <= axisCount && label.startsWith("axis")) return;
      const choice = make(header, "select", { "aria-label": `${name}, ${label}` });
      options.forEach((option, at) => { make(choice, "option", { value: at }, option).selected = at === current; });
      choice.addEventListener("change", () => change(Number(choice.value), choice));
    };
    const addPicks = () => {
      header.querySelectorAll("select.axis").forEach((choice) => choice.remove());
      if (table.names.length <= axisCount) return;
      axes.forEach((axis, rank) => {
        pick(`axis ${rank + 1}`, table.names.map((name) => name.replace(/ \(.*/, "")), axis, (picked) => {
          // An axis that is there already changes places.
          const other = axes.indexOf(picked);
          if (other >= 0) axes[other] = axes[rank];
          axes[rank] = picked;
          addPicks();
          arrange();
          follow();
          markPoints();
        });
        header.lastElementChild.classList.add("axis");
      });
    };
    if (isSpatial) {
      const sources = ["codes", "pca"].filter((source) => tables[source]?.columns.length >= 3);
      if (sources.length > 1) {
        pick("codes or components", sources.map((source) => ({ codes: "codes", pca: "components" })[source]), sources.indexOf(source), (picked) => {
          source = sources[picked];
          table = tables[source];
          axes = [0, 1, 2];
          addPicks();
          arrange();
        });
      }
      const turning = make(header, "button", { type: "button", "aria-pressed": "false" }, "turn");
      const go = () => {
        if (turning.getAttribute("aria-pressed") !== "true" || !host.isConnected) return;
        if (!section.hidden) rotate(0.008, 0);
        requestAnimationFrame(go);
      };
      turning.addEventListener("click", () => {
        if (reducesMotion.matches) return rotate(0.5, 0);
        set(turning, { "aria-pressed": turning.getAttribute("aria-pressed") !== "true" });
        go();
      });
    }
    addPicks();

    const map = { name, section, paint: () => extents && paintPoints(), mark: () => extents && markPoints(), follow, layout };
    maps.push(map);
    new ResizeObserver(layout).observe(plot);
    return map;
  };

  /// Whether a place is inside a line that ends where it begins.
  const isInside = (corners, x, y) => corners.reduce((inside, [x1, y1], at) => {
    const [x2, y2] = corners.at(at - 1);
    return y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1) ? !inside : inside;
  }, false);

  // Tools.
  const toggle = (label, attributes, isOn, change) => {
    const button = make(toolbar, "button", { type: "button", "aria-pressed": isOn, ...attributes }, label);
    button.addEventListener("click", () => {
      const now = button.getAttribute("aria-pressed") !== "true";
      if (change(now) !== false) set(button, { "aria-pressed": now });
    });
    return button;
  };
  const known = { codes: ["codes", "codes", 2], pca: ["PCA", "pca", 2], tsne: ["t-SNE", "tsne", 2] };
  const kinds = [...data.shown, ...Object.keys(known).filter((kind) => !data.shown.includes(kind))].filter((kind) => tables[kind]);
  for (const kind of [...kinds, ...(tables.pca?.columns.length >= 3 ? ["space"] : [])]) {
    const map = kind === "space" ? addMap("3-D", "pca", 3) : addMap(...known[kind]);
    map.section.hidden = !data.shown.includes(kind);
    toggle(map.name, { title: `Show or hide the map: ${map.name}` }, !map.section.hidden, (isOn) => {
      if (!isOn && visibleMaps().length === 1) return false; // one map stays
      map.section.hidden = !isOn;
      map.layout();
      map.follow();
      map.mark();
    });
  }
  const field = (label, element) => {
    const line = make(toolbar, "label", {}, label);
    line.append(element);
  };
  if (groups.cluster) {
    const choice = make(toolbar, "select");
    Object.keys(groups).forEach((name) => make(choice, "option", {}, name));
    choice.addEventListener("change", () => {
      group = groups[choice.value];
      drawLegend();
      listMarked();
      show(shown);
    });
    field("colour: ", choice);
  }
  const search = make(toolbar, "input", { type: "number", min: 0, max: data.total - 1, placeholder: `0–${data.total - 1}` });
  search.addEventListener("change", () => {
    if (search.value === "") return;
    choose(Math.min(count - 1, Math.max(0, Math.round((Number(search.value) * count) / data.total))));
    spoken.textContent = nameOf(chosen);
  });
  search.addEventListener("keydown", (event) => event.stopPropagation());
  field("image: ", search);
  toggle("lasso", { title: "Mark by drawing around points, also with a finger (with a mouse, drag at any time; Shift adds)" }, false, (isOn) => {
    lasso.isOn = isOn;
  });
  const clear = make(toolbar, "button", { type: "button", disabled: "" }, "clear marks");
  clear.addEventListener("click", () => select([], false));

  const drawLegend = () => {
    legend.replaceChildren();
    const counts = new Map();
    for (const label of group.of) counts.set(label, (counts.get(label) ?? 0) + 1);
    group.names.forEach((name, label) => {
      const entry = make(make(legend, "li"), "button", { type: "button", "aria-pressed": !group.hidden.has(label) });
      make(entry, "span", { class: "swatch", style: `background: ${group[scheme][label]}` });
      entry.append(name);
      make(entry, "span", { class: "count" }, ` ${counts.get(label) ?? 0}`);
      entry.addEventListener("click", (event) => {
        const others = group.names.map((_, other) => other).filter((other) => other !== label);
        const isAlone = others.every((other) => group.hidden.has(other)) && !group.hidden.has(label);
        if (event.shiftKey) group.hidden = new Set(isAlone ? [] : others);
        else if (!group.hidden.delete(label)) group.hidden.add(label);
        const focused = [...legend.children].indexOf(entry.parentElement);
        drawLegend();
        legend.children[focused].firstElementChild.focus();
        later(paint);
        if (isWhole) later(showNeighbours);
      });
    });
  };
  drawLegend();

  // The text's colour says whether the page is dark, in every notebook and browser; menus must be told.
  const theme = () => {
    const [red, green, blue] = getComputedStyle(host).color.match(/[\d.]+/g).map(Number);
    const now = 0.3 * red + 0.6 * green + 0.1 * blue > 127 ? "dark" : "light";
    explorer.style.colorScheme = now;
    if (now === scheme) return;
    scheme = now;
    drawLegend();
    if (marked.size > 0) listMarked();
    show(shown);
    later(paint);
  };
  const observer = new MutationObserver(() => (host.isConnected ? theme() : observer.disconnect()));
  for (const element of [document.documentElement, document.body]) observer.observe(element, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
  theme();

  maps.forEach((map) => map.layout());
  // At first the probe is in the middle of the first map, and has the other numbers of the point in the middle.
  if (isWhole) chosen = nearestTo(codes.map((column) => column.reduce((sum, value) => sum + value, 0) / count), 1)[0] ?? 0;
  choose(chosen);

  // Drawing.
  if (!encoder) return;
  make(boardPart, "p", { class: "caption" }, "Draw with mouse, finger or keys");
  const boardImages = Object.assign(document.createElement("div"), { className: "images" });
  const [input, redrawn] = [canvas(boardImages, "drawing"), canvas(boardImages, "reconstruction")];
  const guess = Object.assign(document.createElement("p"), { className: "guess" });
  set(guess, { role: "status" });
  drawingBoard(boardPart, make, width, height, (image) => {
    if (!image) {
      guess.textContent = "";
      return [input, redrawn].forEach((context) => context.clearRect(0, 0, width, height));
    }
    code = encoder(image);
    const near = nearestTo(code, 15);
    if (near.length > 0) show((chosen = near[0]));
    if (data.decoded) planePoint = data.decoded.map === "pca" ? [scoreOf(code, 0), scoreOf(code, 1)] : [...code.slice(0, 2)];
    maps.forEach((map) => map.follow());
    place.textContent = "probe at the drawing";
    put(input, image);
    put(redrawn, decoder ? decoder(code) : mix(planePoint));
    const { names } = classifier ? data.board.classifier : groups.label;
    const shares = classifier ? classifier(image)
      : names.map((_, label) => near.filter((index) => groups.label.of[index] === label).length / near.length);
    const best = [...names.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, 3).filter((label) => shares[label] >= 0.01);
    guess.textContent = `${classifier ? "classifier" : `${near.length} nearest codes`}: `
      + best.map((label) => `${names[label]} (${Math.round(100 * shares[label])} %)`).join(", ");
    later(decode);
    later(mark);
  });
  boardPart.append(boardImages, guess);
};
