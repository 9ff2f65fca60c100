// A board to draw on, with mouse, finger or keys, and the drawing as an image of the data set.

/// Calls `changed` with the values of the image, row by row, whenever the drawing changes; with none once it is empty.
const drawingBoard = (parent, make, width, height, changed) => {
  const scale = Math.max(1, Math.floor(224 / Math.max(width, height)));
  const pen = 2.4 * scale; // the width of a stroke: a little over two pixels of the image, as in MNIST
  const frame = make(parent, "div", { class: "board" });
  const canvas = make(frame, "canvas", {
    width: width * scale, height: height * scale, tabindex: 0, role: "application",
    "aria-label": "Board to draw on. Arrow keys move the pen, Space puts it down or lifts it, Delete clears the board",
  });
  const dot = make(frame, "div", { class: "pen" });
  const clear = make(parent, "button", { type: "button" }, "clear the board");
  const context = canvas.getContext("2d", { willReadFrequently: true });

  const wipe = () => {
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  const line = (from, to) => {
    Object.assign(context, { strokeStyle: "#fff", lineWidth: pen, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    tell();
  };

  /// The drawing as MNIST has digits: its longer side 20 of 28 pixels, its centre of mass in the middle.
  const image = () => {
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const ink = (x, y) => (x < 0 || y < 0 || x >= canvas.width || y >= canvas.height ? 0 : data[4 * (y * canvas.width + x)] / 255);
    let [mass, sumX, sumY] = [0, 0, 0];
    let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
    for (let y = 0; y < canvas.height; y++) for (let x = 0; x < canvas.width; x++) {
      const value = ink(x, y);
      if (value === 0) continue;
      [mass, sumX, sumY] = [mass + value, sumX + value * (x + 0.5), sumY + value * (y + 0.5)];
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
    }
    if (mass === 0) return null;
    // Pixels of the board for one of the image, which is their mean.
    const step = Math.max((right - left + 1) / width, (bottom - top + 1) / height) * (28 / 20);
    const samples = Math.max(1, Math.ceil(step));
    return Float64Array.from({ length: width * height }, (_, at) => {
      const [column, row] = [(at % width) - width / 2, Math.floor(at / width) - height / 2];
      let sum = 0;
      for (let down = 0; down < samples; down++) for (let across = 0; across < samples; across++) {
        const x = sumX / mass + (column + (across + 0.5) / samples) * step;
        const y = sumY / mass + (row + (down + 0.5) / samples) * step;
        sum += ink(Math.floor(x), Math.floor(y));
      }
      return sum / samples ** 2;
    });
  };
  let isDue = false;
  const tell = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      changed(image());
    });
  };

  const position = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
  };
  let at = [canvas.width / 2, canvas.height / 2];
  let isDown = false;
  const place = () => {
    dot.style.left = `${(100 * at[0]) / canvas.width}%`;
    dot.style.top = `${(100 * at[1]) / canvas.height}%`;
    dot.classList.toggle("down", isDown);
  };
  const to = (next) => {
    if (isDown) line(at, next);
    at = next;
    place();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    at = position(event);
    isDown = true;
    to(at);
  });
  canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && to(position(event)));
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      isDown = false;
      place();
    });
  }
  const empty = () => {
    wipe();
    tell();
  };
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && ![" ", "Delete", "Backspace"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (step) return to(at.map((value, axis) => Math.min([canvas.width, canvas.height][axis], Math.max(0, value + step[axis] * scale))));
    if (event.key !== " ") return empty();
    isDown = !isDown;
    to(at);
  });
  canvas.addEventListener("blur", () => {
    isDown = false;
    place();
  });
  clear.addEventListener("click", empty);
  wipe();
  place();
};
