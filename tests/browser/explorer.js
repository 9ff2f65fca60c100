// Uses a saved explorer in a browser: node explorer.js FILE.html [PREFIX]. tests/explorer.rs writes such files to target/tmp, beside
// some of them what the library makes of the same images: FILE.json. explorer-decoder-….html is for that comparison alone,
// explorer-draw….html for drawing. With a prefix it saves screenshots, PREFIX-light.png and so on.
// Needs playwright-core, and Chromium: $CHROMIUM, or `chromium` on the PATH. Prints what does not work and exits with 1.

const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");

const [file, prefix] = process.argv.slice(2);
const check = (holds, sentence) => {
  if (!holds) throw new Error(sentence);
};
const pages = [
  { name: "light", viewport: { width: 1200, height: 900 }, colorScheme: "light" },
  { name: "dark", viewport: { width: 1200, height: 900 }, colorScheme: "dark", reducedMotion: "reduce" },
  { name: "narrow", viewport: { width: 360, height: 1500 }, colorScheme: "light", hasTouch: true },
];

/// Opens the page; errors on it are collected.
const open = async (browser, options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(`the console says ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`a script fails: ${error.message}`));
  page.on("request", (request) => {
    if (!/^(file|data):/.test(request.url())) wrong.push(`the page asks for ${request.url()}`);
  });
  await page.goto(pathToFileURL(path.resolve(file)).href);
  return { context, page, wrong };
};

/// Waits until the page has drawn what was asked of it.
const drawn = (page) =>
  page.evaluate(async () => {
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  });

/// What the explorer shows once it has drawn: its texts, its images, and where the marks are on the first map that is seen.
const state = async (page) => {
  await drawn(page);
  return page.evaluate(() => {
    const root = document.querySelector("[data-live]").shadowRoot;
    const all = (selector) => [...root.querySelectorAll(selector)];
    const pixels = all(".side figure canvas").map((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return [...data].filter((_, at) => at % 4 === 0);
    });
    const [code, place] = all(".code").map((line) => line.textContent);
    const maps = all(".map:not([hidden])").map((map) => {
      const [ring, svg] = [map.querySelector(".shown"), map.querySelector("svg")].map((element) => element.getBoundingClientRect());
      const canvas = map.querySelector(".points");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let ink = 0;
      for (let at = 3; at < data.length; at += 4) ink += data[at];
      return {
        name: map.getAttribute("aria-label"),
        ring: [ring.x + ring.width / 2, ring.y + ring.height / 2],
        box: [svg.x, svg.y, svg.width, svg.height],
        ink, // how much of it the points cover
        spoken: map.querySelector(".probe").getAttribute("aria-valuetext"),
      };
    });
    return {
      title: root.querySelector(".title").textContent, code, place, pixels, maps,
      neighbours: all("[aria-label='Nearest neighbours'] .thumb").map((image) => image.getAttribute("aria-label")),
      marked: all(".gallery .thumb").map((image) => image.getAttribute("aria-label")),
      marks: root.querySelector(".gallery .caption")?.textContent ?? "",
      legend: all(".legend button").map((entry) => [entry.textContent, entry.getAttribute("aria-pressed")]),
    };
  });
};

const center = async (locator) => {
  await drawn(locator.page());
  const { x, y, width, height } = await locator.boundingBox();
  return [x + width / 2, y + height / 2];
};
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const seen = (page, selector) => page.locator(`.map:not([hidden]) ${selector}`);
const find = async (page, image) => {
  await page.locator(".toolbar input").fill(String(image));
  await page.locator(".toolbar input").press("Enter");
  return state(page);
};
const drag = async (page, places) => {
  await page.mouse.move(...places[0]);
  await page.mouse.down();
  for (const place of places.slice(1)) await page.mouse.move(...place, { steps: 4 });
  await page.mouse.up();
};
const around = ([x, y, width, height]) =>
  [[0.02, 0.02], [0.99, 0.02], [0.99, 0.97], [0.02, 0.97]].map(([across, down]) => [x + across * width, y + down * height]);

const use = async (browser, options) => {
  const { context, page, wrong } = await open(browser, options);
  const probe = seen(page, ".probe .reach").first();
  await probe.waitFor({ timeout: 20_000 }).catch(() => check(false, ["no explorer appears", ...wrong].join("; ")));
  check((await page.locator("[data-live]").count()) === 1, "there should be one explorer");
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(overflow <= 0, `the page is ${overflow} pixels too wide`);
  const first = await state(page);
  check(first.maps[0].ink > 0, "there are no points");

  // The point under the pointer.
  const [one, other] = [await find(page, 3), await find(page, 9)];
  check(one.title !== other.title && one.code !== other.code, "another image that is looked for is shown as the same");
  check(!same(one.pixels[0], other.pixels[0]) && !same(one.pixels[1], other.pixels[1]), "another image has the same pixels");
  check(/image \d+$/.test(other.title.replace(/ · cluster \d+$/, "")), `no number in the title: ${other.title}`);
  check(other.neighbours.length === 0 || other.neighbours.length === 5, "there should be five neighbours");
  await page.mouse.move(...one.maps[0].ring);
  const hovered = await state(page);
  await page.mouse.move(...other.maps[0].ring);
  const back = await state(page);
  check(hovered.title !== back.title && hovered.code !== back.code, "another point under the pointer is shown as the same");
  check(hovered.place === back.place, "hovering moves the probe");

  // The probe.
  const before = await state(page);
  const from = await center(probe);
  const [across, down] = [0.5, 0.5].map((share, axis) => Math.sign(before.maps[0].box[axis] + share * before.maps[0].box[2 + axis] - from[axis]) || 1);
  await drag(page, [from, [from[0] + 30 * across, from[1] + 20 * down]]);
  const middle = await state(page);
  await drag(page, [await center(probe), [from[0] + 50 * across, from[1] + 40 * down]]);
  const after = await state(page);
  check(middle.place !== before.place && after.place !== middle.place, "the probe does not follow the pointer");
  check(after.maps[0].spoken !== before.maps[0].spoken, "the probe's place is not told to a screen reader");
  const there = await center(probe);
  check(Math.hypot(there[0] - from[0] - 50 * across, there[1] - from[1] - 40 * down) < 2, "the probe is not where the pointer left it");
  const isTsne = after.maps[0].name.includes("t-SNE");
  check(isTsne || !same(middle.pixels[2], before.pixels[2]) || !same(after.pixels[2], middle.pixels[2]), "nothing is decoded on the way");
  await page.mouse.move(...one.maps[0].ring);
  check((await state(page)).place === after.place, "the probe follows a pointer that has let it go");
  await page.mouse.click(...one.maps[0].ring);
  const clicked = await center(probe);
  check(Math.hypot(clicked[0] - one.maps[0].ring[0], clicked[1] - one.maps[0].ring[1]) < 2, "the probe does not come to a click");

  // Keys.
  await drag(page, [await center(probe), await center(seen(page, "svg").first())]);
  const focus = () => page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.getAttribute("class"));
  await page.keyboard.press("Shift+Tab");
  check((await focus()) !== "probe", "Shift and Tab do not lead away from the probe");
  await page.keyboard.press("Tab");
  check((await focus()) === "probe", "Tab does not lead to the probe");
  const edge = await probe.evaluate((circle) => getComputedStyle(circle).stroke);
  check(edge !== "none", "the probe's focus cannot be seen");
  for (const [key, right, below] of [["ArrowRight", 1, 0], ["ArrowUp", 0, -1], ["ArrowLeft", -1, 0], ["Shift+ArrowDown", 0, 1]]) {
    const [x, y] = (await state(page), await center(probe));
    await page.keyboard.press(key);
    const [left, top] = (await state(page), await center(probe));
    check(Math.sign(Math.round(left - x)) === right && Math.sign(Math.round(top - y)) === below, `${key} does not move the probe its way`);
  }
  await page.keyboard.press("Enter");
  check((await state(page)).marked.length === 1, "Enter does not mark the nearest point");
  await page.keyboard.press("Escape");
  check((await state(page)).marked.length === 0, "Escape does not clear the marks");

  // Brushing: what is marked on one map is marked on all.
  for (const map of ["codes", "PCA"]) {
    const button = page.locator(".toolbar button", { hasText: new RegExp(`^${map}$`) });
    if ((await button.count()) > 0 && (await button.getAttribute("aria-pressed")) === "false") await button.click();
  }
  const plain = await state(page);
  check(plain.maps.length >= 2, "there should be at least two maps");
  const [x, y, wide, high] = plain.maps[0].box;
  const [left, top] = plain.maps[0].ring;
  await page.locator(".toolbar").scrollIntoViewIfNeeded();
  if (!options.hasTouch) {
    const corner = [Math.min(left + 60, x + wide - 4), Math.min(top + 60, y + high - 4)];
    await drag(page, [[Math.max(left - 60, x + 4), Math.max(top - 60, y + 4)], [corner[0], Math.max(top - 60, y + 4)], corner, [Math.max(left - 60, x + 4), corner[1]]]);
    const some = await state(page);
    check(some.marked.length > 0, "the lasso marks nothing");
    check(some.marks.startsWith(`${some.marked.length} marked`) || some.marked.length === 240, `the gallery says ${some.marks}`);
    for (const [index, map] of some.maps.entries()) {
      check(map.ink !== plain.maps[index].ink, `${map.name} does not show what is marked`);
    }
    await page.locator(".gallery .thumb").first().click();
    check(some.marked[0].endsWith(/image \d+/.exec((await state(page)).title)[0]), "an image of the gallery does not show its point");
    if (prefix) await page.screenshot({ path: `${prefix}-${options.name}-marked.png`, fullPage: true });
    await page.locator(".toolbar button", { hasText: "clear" }).click();
    check((await state(page)).marked.length === 0, "the marks are not cleared");
  }

  // Classes.
  const entry = page.locator(".legend button").first();
  await entry.click();
  const filtered = await state(page);
  check(filtered.legend[0][1] === "false" && filtered.maps.every((map, index) => map.ink < plain.maps[index].ink), "a class is not hidden");
  await entry.click();
  await entry.click({ modifiers: ["Shift"] });
  const alone = await state(page);
  check(alone.legend.filter(([, isShown]) => isShown === "true").length === 1, "Shift does not leave one class");
  await entry.click({ modifiers: ["Shift"] });
  check((await state(page)).maps[0].ink === plain.maps[0].ink, "the classes do not come back");

  // Other axes, other colours.
  const axis = seen(page, "select.axis").first();
  if ((await axis.count()) > 0) {
    const names = await axis.locator("option").allTextContents();
    await axis.selectOption({ label: names.at(-1) });
    check(!same((await state(page)).maps.map(({ ring }) => ring), plain.maps.map(({ ring }) => ring)), "another axis changes nothing");
    await seen(page, "select.axis").first().selectOption({ label: names[0] });
  }
  const colour = page.locator(".toolbar select");
  if ((await colour.count()) > 0) {
    await colour.selectOption("cluster");
    check((await state(page)).legend.every(([name]) => name.startsWith("cluster ")), "there are no clusters");
    await colour.selectOption("label");
  }

  // Three dimensions.
  const spatial = page.locator(".toolbar button", { hasText: "3-D" });
  if ((await spatial.count()) > 0) {
    await spatial.click();
    const still = await state(page);
    const space = page.locator(".map:not([hidden]) svg[role='application']");
    const before = still.maps.at(-1).ring;
    const [x, y] = await center(space);
    await drag(page, [[x, y], [x + 60, y + 10]]);
    const turned = (await state(page)).maps.at(-1).ring;
    check(!same(before, turned), "3-D does not turn with the pointer");
    await space.focus();
    await page.keyboard.press("ArrowLeft");
    const byKey = (await state(page)).maps.at(-1).ring;
    check(!same(byKey, turned), "3-D does not turn with the keys");
    const button = page.locator(".map:not([hidden]) header button", { hasText: "turn" });
    await button.click();
    await page.waitForTimeout(100);
    const moving = (await state(page)).maps.at(-1).ring;
    check(!same(moving, byKey), "3-D does not turn by itself");
    if (options.reducedMotion === "reduce") {
      check(same((await state(page)).maps.at(-1).ring, moving), "it moves where the reader wants less motion");
    } else {
      await button.click();
    }
    if (prefix) await page.screenshot({ path: `${prefix}-${options.name}-3d.png`, fullPage: true });
    await spatial.click();
  }

  if (options.hasTouch) {
    await page.evaluate(() => scrollTo(0, 0));
    const place = (await state(page)).place;
    const [left, top, wide, high] = (await state(page)).maps[0].box;
    await page.touchscreen.tap(left + 0.35 * wide, top + 0.25 * high);
    check((await state(page)).place !== place, "a tap does nothing");
    const [x, y] = await center(probe);
    const finger = await context.newCDPSession(page);
    const touch = (type, ...touchPoints) => finger.send("Input.dispatchTouchEvent", { type, touchPoints });
    const stroke = async (places) => {
      await touch("touchStart", { x: places[0][0], y: places[0][1] });
      for (const [x, y] of places.slice(1)) await touch("touchMove", { x, y });
      await touch("touchEnd");
    };
    await stroke([10, 20, 30].map((step) => [x + step, y + step]).reduce((all, place) => [...all, place], [[x, y]]));
    await state(page);
    const end = await center(probe);
    check(Math.abs(end[0] - x - 30) < 2 && Math.abs(end[1] - y - 30) < 2, "the probe does not follow a finger");
    await page.locator(".toolbar button", { hasText: "lasso" }).tap();
    await page.evaluate(() => scrollTo(0, 0));
    await stroke(around((await state(page)).maps[0].box));
    check((await state(page)).marked.length > 10, "a finger draws no lasso");
  }
  if (prefix) {
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: `${prefix}-${options.name}.png`, fullPage: true });
  }
  check(wrong.length === 0, wrong.join("; "));
  await context.close();
};

/// What the page decodes is what the library decodes, but for one of 255 greys.
const decodesTruly = async (browser) => {
  const expected = file.replace(/html$/, "json");
  if (!fs.existsSync(expected)) return check(!path.basename(file).startsWith("explorer-decoder"), `${expected} is missing`);
  const { pixels } = JSON.parse(fs.readFileSync(expected, "utf8"));
  const { context, page, wrong } = await open(browser, { viewport: { width: 1000, height: 800 } });
  await page.locator(".map:not([hidden]) .probe .reach").first().waitFor({ timeout: 20_000 });
  let compared = 0;
  for (const [number, image] of pixels.entries()) {
    const { title, pixels: drawn } = await find(page, number);
    if (!title.endsWith(` image ${number}`)) continue; // not one of those shown
    for (const decoded of [drawn[1], drawn[2]]) {
      const most = Math.max(...image.map((value, at) => Math.abs(value - decoded[at])));
      check(decoded.length === image.length && most <= 1, `image ${number} is decoded with a difference of ${most} greys`);
    }
    compared += 1;
  }
  check(compared >= 3, `${compared} images compared`);
  check(wrong.length === 0, wrong.join("; "));
  await context.close();
};

/// The encoder and the classifier of a page to draw on make of images what the library makes of them.
const encodesTruly = async () => {
  const expected = file.replace(/html$/, "json");
  if (!fs.existsSync(expected)) return;
  const code = fs.readFileSync(path.join(__dirname, "../../src/show/explorer/network.js"), "utf8");
  const unpacked = new Function(`${code}\nreturn unpacked;`)();
  const [, data] = /explore\(host, (\{.*\}), ":host/.exec(fs.readFileSync(file, "utf8"));
  const { encoder, classifier } = JSON.parse(data).board;
  const [encode, classify] = [await unpacked(encoder), await unpacked(classifier.network)];
  const { spread, rows } = JSON.parse(fs.readFileSync(expected, "utf8"));
  const furthest = (made, wanted) => Math.max(...wanted.map((value, at) => Math.abs(value - made[at])));
  for (const [number, { image, code, shares }] of rows.entries()) {
    check(furthest(encode(image), code) <= 0.01 * spread, `image ${number} has the code ${encode(image)}, not ${code}`);
    check(furthest(classify(image), shares) <= 0.011, `image ${number} has the probabilities ${classify(image)}, not ${shares}`);
  }
};

const draws = async (browser, options) => {
  const { context, page, wrong } = await open(browser, options);
  const board = page.locator(".board canvas");
  await board.waitFor({ timeout: 20_000 });
  await board.scrollIntoViewIfNeeded();
  const drawing = async () => {
    const now = await state(page);
    const [input, redrawn] = await page.locator(".drawing figure canvas").evaluateAll((all) => all.map((canvas) =>
      [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].filter((_, at) => at % 4 === 0)));
    return { ...now, input, redrawn, guess: await page.locator(".guess").textContent() };
  };
  const { x, y, width, height } = await board.boundingBox();
  const at = (across, down) => [x + across * width, y + down * height];
  const before = await drawing();
  check(before.input.every((value) => value === 0) && before.guess === "", "the board is not empty at first");

  if (options.hasTouch) {
    const finger = await context.newCDPSession(page);
    const touch = (type, ...touchPoints) => finger.send("Input.dispatchTouchEvent", { type, touchPoints });
    const scrolled = await page.evaluate(() => scrollY);
    const place = (down) => ({ x: at(0.2, 0)[0], y: at(0, down)[1] });
    await touch("touchStart", place(0.1));
    for (const down of [0.2, 0.3, 0.4, 0.5]) await touch("touchMove", place(down));
    await touch("touchEnd");
    check((await page.evaluate(() => scrollY)) === scrolled, "a finger on the board scrolls the page");
  } else {
    await drag(page, [at(0.2, 0.1), at(0.2, 0.5)]);
  }
  const after = await drawing();
  // As MNIST has digits: 20 pixels high, the centre of mass in the middle.
  const rows = after.input.map((value, index) => (value > 40 ? Math.floor(index / 28) : -1)).filter((row) => row >= 0);
  const high = Math.max(...rows) - Math.min(...rows) + 1;
  check(high >= 19 && high <= 21, `the drawing is ${high} pixels high`);
  const mass = after.input.reduce((sum, value) => sum + value, 0);
  for (const place of [(index) => index % 28, (index) => Math.floor(index / 28)]) {
    const middle = after.input.reduce((sum, value, index) => sum + value * (place(index) + 0.5), 0) / mass;
    check(Math.abs(middle - 14) < 0.5, `its centre of mass is at ${middle}`);
  }
  check(after.place === "probe at the drawing" && !same(after.maps.map(({ spoken }) => spoken), before.maps.map(({ spoken }) => spoken)), "the drawing is on no map");
  check(same(after.redrawn, after.pixels[2]) && after.redrawn.some((value) => value > 60), "the drawing is not reconstructed");
  check(/^(classifier|15 nearest codes): .+ \(\d+ %\)/.test(after.guess), `the guess is ${after.guess}`);
  if (!options.hasTouch) {
    await drag(page, [at(0.2, 0.1), at(0.7, 0.15)]);
    const more = await drawing();
    check(!same(more.redrawn, after.redrawn) && !same(more.input, after.input), "a second stroke changes nothing");
  }
  if (prefix) await page.screenshot({ path: `${prefix}-${options.name}.png`, fullPage: true });
  await page.locator(".drawing button").click();
  const cleared = await drawing();
  check(cleared.input.every((value) => value === 0) && cleared.guess === "", "the board is not cleared");
  await board.focus();
  for (const key of [" ", ...Array(6).fill("ArrowDown"), " ", ...Array(6).fill("ArrowLeft")]) await page.keyboard.press(key);
  const byKeys = await drawing();
  const columns = new Set(byKeys.input.map((value, index) => (value > 40 ? index % 28 : -1)).filter((column) => column >= 0));
  check(columns.size > 0 && columns.size < 12, "the keys draw no upright stroke");
  check(wrong.length === 0, wrong.join("; "));
  await context.close();
};

/// In a page whose text becomes light, as JupyterLab's dark theme makes it, the menus become dark.
const followsTheTheme = async (browser) => {
  const { context, page } = await open(browser, { viewport: { width: 1000, height: 700 }, colorScheme: "light" });
  await page.locator(".map:not([hidden]) .probe .reach").first().waitFor({ timeout: 20_000 });
  const scheme = () => page.locator(".explorer").evaluate((element) => getComputedStyle(element).colorScheme);
  const swatch = () => page.locator(".legend .swatch").first().evaluate((element) => getComputedStyle(element).backgroundColor);
  const onLight = await swatch();
  check((await scheme()) === "light", "a light page has a dark explorer");
  await page.evaluate(() => { document.body.style.cssText = "background: #111; color: #eee"; });
  await state(page);
  check((await scheme()) === "dark", "the explorer does not follow the page's theme");
  check((await swatch()) !== onLight, "the classes' colours do not follow the page's theme");
  await context.close();
};

/// Without scripts there is an image, and no script shown as text.
const withoutScripts = async (browser) => {
  const { context, page } = await open(browser, { javaScriptEnabled: false, viewport: { width: 1000, height: 900 } });
  const picture = page.locator("img");
  await picture.waitFor({ state: "visible", timeout: 10_000 });
  const { width, height } = await picture.boundingBox();
  check(width > 300 && height > 300, "without scripts there is no picture");
  check((await picture.getAttribute("alt")).includes("images"), "the picture has no words for those who cannot see it");
  if (prefix) await page.screenshot({ path: `${prefix}-still.png` });
  await context.close();
};

/// The same explorer twice in one page, as in a notebook.
const twice = async (browser) => {
  const { context, page, wrong } = await open(browser, { viewport: { width: 1000, height: 1400 } });
  await seen(page, ".probe .reach").first().waitFor({ timeout: 20_000 });
  await page.evaluate(() => {
    const [host, script] = [document.querySelector("[data-live]"), document.querySelector("script")];
    const copy = Object.assign(document.createElement("div"), { id: host.id });
    document.body.append(copy, Object.assign(document.createElement("script"), { textContent: script.textContent }));
  });
  const [one, other] = [0, 1].map((nth) => page.locator("[data-live]").nth(nth).locator(".map:not([hidden]) .probe").first());
  await other.waitFor({ timeout: 20_000 });
  await state(page);
  const [first, second] = [await center(one), await center(other)];
  await other.focus();
  await page.keyboard.press("ArrowRight");
  await state(page);
  check((await center(one))[0] === first[0], "one explorer moves the other's probe");
  check((await center(other))[0] > second[0], "the second explorer on a page does not move");
  check(wrong.length === 0, wrong.join("; "));
  await context.close();
};

(async () => {
  check(file, "which file?");
  const executablePath = process.env.CHROMIUM || execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const onEach = async (run) => {
      for (const options of pages) await run(browser, options).catch((error) => { throw new Error(`${options.name}: ${error.message}`); });
    };
    const name = path.basename(file);
    if (name.startsWith("explorer-draw")) {
      await encodesTruly();
      await onEach(draws);
    } else {
      await decodesTruly(browser);
    }
    if (!/^explorer-(draw|decoder)/.test(name)) {
      await onEach(use);
      await followsTheTheme(browser);
      await withoutScripts(browser);
      await twice(browser);
    }
  } finally {
    await browser.close();
  }
  console.log(`${file}: everything works`);
})().catch((error) => {
  console.error(`${file}: ${error.message}`);
  process.exit(1);
});
