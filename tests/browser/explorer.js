// Uses a saved explorer in a browser: node explorer.js FILE.html [PREFIX]. tests/explorer.rs writes such files to target/tmp.
// Needs playwright-core, and Chromium: $CHROMIUM, or `chromium` on the PATH. With a prefix it saves screenshots, PREFIX-light.png and so on.
// Prints what does not work and exits with 1.

const { execFileSync } = require("node:child_process");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");

const [file, prefix] = process.argv.slice(2);
const check = (holds, sentence) => {
  if (!holds) throw new Error(sentence);
};
const pages = [
  { name: "light", viewport: { width: 1000, height: 700 }, colorScheme: "light" },
  { name: "dark", viewport: { width: 1000, height: 700 }, colorScheme: "dark" },
  { name: "narrow", viewport: { width: 360, height: 900 }, colorScheme: "light", hasTouch: true },
];

/// Opens the page and waits for its explorer; errors on the page are collected.
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

/// What the explorer shows: its texts, and the sums of the grey values of its images.
const state = (page) =>
  page.evaluate(() => {
    const root = document.querySelector("[data-live]").shadowRoot;
    const greys = [...root.querySelectorAll("canvas")].map((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.reduce((sum, value, at) => (at % 4 === 0 ? sum + value * (at % 1009) : sum), 0);
    });
    const [code, place] = [...root.querySelectorAll(".code")].map((line) => line.textContent);
    const handle = root.querySelector(".probe");
    return { title: root.querySelector(".title").textContent, code, place, greys, spoken: handle.getAttribute("aria-valuetext") };
  });

const center = async (locator) => {
  const { x, y, width, height } = await locator.boundingBox();
  return [x + width / 2, y + height / 2];
};

const use = async (browser, options) => {
  const { context, page, wrong } = await open(browser, options);
  const probe = page.locator(".probe .reach");
  await probe.waitFor({ timeout: 10_000 }).catch(() => check(false, ["no explorer appears", ...wrong].join("; ")));
  check((await page.locator("[data-live]").count()) === 1, "there should be one explorer");
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(overflow <= 0, `the page is ${overflow} pixels too wide`);
  const points = page.locator(".point");
  check((await points.count()) > 1, "there are no points");
  const decodes = (await page.locator("canvas").count()) === 3;

  // The point under the pointer, the last one drawn there.
  const [first, second] = [await center(points.nth(0)), await center(points.nth(1))];
  await page.mouse.move(...first);
  const hovered = await state(page);
  await page.mouse.move(...second);
  const other = await state(page);
  check(hovered.title !== other.title && hovered.code !== other.code, "another point under the pointer is shown as the same");
  check(hovered.greys[0] !== other.greys[0], "another point under the pointer has the same image");
  check(hovered.place === other.place, "hovering moves the probe");

  const before = await state(page);
  const from = await center(probe);
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move(from[0] + 40, from[1] - 30, { steps: 5 });
  const middle = await state(page);
  await page.mouse.move(from[0] + 70, from[1] - 50, { steps: 5 });
  await page.mouse.up();
  const after = await state(page);
  check(middle.place !== before.place && after.place !== middle.place, "the probe does not follow the pointer");
  check(after.spoken !== before.spoken, "the probe's place is not told to a screen reader");
  check(!decodes || (middle.greys[2] !== before.greys[2] && after.greys[2] !== middle.greys[2]), "nothing is decoded on the way");
  const there = await center(probe);
  check(Math.abs(there[0] - from[0] - 70) < 2 && Math.abs(there[1] - from[1] + 50) < 2, "the probe is not where the pointer left it");
  await page.mouse.move(...first);
  check((await state(page)).place === after.place, "the probe follows a pointer that has let it go");

  await page.mouse.click(...first);
  const clicked = await center(probe);
  check(Math.hypot(clicked[0] - first[0], clicked[1] - first[1]) < 2, "the probe does not come to a click");
  await page.keyboard.press("ArrowRight");
  check((await center(probe))[0] > clicked[0], "after a click the arrow keys do not move the probe");

  const focus = () => page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.getAttribute("class"));
  await page.keyboard.press("Shift+Tab");
  check((await focus()) !== "probe", "Shift and Tab do not lead away from the probe");
  await page.keyboard.press("Tab");
  check((await focus()) === "probe", "Tab does not lead to the probe");
  const edge = await page.locator(".probe .reach").evaluate((circle) => getComputedStyle(circle).stroke);
  check(edge !== "none", "the probe's focus cannot be seen");
  for (const [key, across, down] of [["ArrowRight", 1, 0], ["ArrowUp", 0, -1], ["ArrowLeft", -1, 0], ["Shift+ArrowDown", 0, 1]]) {
    const [x, y] = await center(probe);
    await page.keyboard.press(key);
    const [left, top] = await center(probe);
    check(Math.sign(Math.round(left - x)) === across && Math.sign(Math.round(top - y)) === down, `${key} does not move the probe its way`);
  }

  if (options.hasTouch) {
    const place = (await state(page)).place;
    await page.touchscreen.tap(...second);
    check((await state(page)).place !== place, "a tap does nothing");
    await page.touchscreen.tap(...(await center(page.locator("svg"))));
    const [x, y] = await center(probe);
    const finger = await context.newCDPSession(page);
    const touch = (type, ...touchPoints) => finger.send("Input.dispatchTouchEvent", { type, touchPoints });
    await touch("touchStart", { x, y });
    for (const step of [10, 20, 30]) await touch("touchMove", { x: x + step, y: y - step });
    await touch("touchEnd");
    const [left, top] = await center(probe);
    check(Math.abs(left - x - 30) < 2 && Math.abs(top - y + 30) < 2, "the probe does not follow a finger");
  }
  if (prefix) await page.screenshot({ path: `${prefix}-${options.name}.png` });
  check(wrong.length === 0, wrong.join("; "));
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
  await page.locator(".probe .reach").first().waitFor({ timeout: 10_000 });
  await page.evaluate(() => {
    const [host, script] = [document.querySelector("[data-live]"), document.querySelector("script")];
    const copy = Object.assign(document.createElement("div"), { id: host.id });
    document.body.append(copy, Object.assign(document.createElement("script"), { textContent: script.textContent }));
  });
  const probes = page.locator(".probe .reach");
  await probes.nth(1).waitFor({ timeout: 10_000 });
  const [first, second] = [await center(probes.nth(0)), await center(probes.nth(1))];
  await page.locator(".probe").nth(1).focus();
  await page.keyboard.press("ArrowRight");
  check((await center(probes.nth(0)))[0] === first[0], "one explorer moves the other's probe");
  check((await center(probes.nth(1)))[0] > second[0], "the second explorer on a page does not move");
  check(wrong.length === 0, wrong.join("; "));
  await context.close();
};

(async () => {
  check(file, "which file?");
  const executablePath = process.env.CHROMIUM || execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    for (const options of pages) await use(browser, options).catch((error) => { throw new Error(`${options.name}: ${error.message}`); });
    await withoutScripts(browser);
    await twice(browser);
  } finally {
    await browser.close();
  }
  console.log(`${file}: everything works`);
})().catch((error) => {
  console.error(`${file}: ${error.message}`);
  process.exit(1);
});
