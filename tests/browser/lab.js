// JupyterLab as a student uses it, in a real browser: node lab.js FOLDER, with playwright-core where node finds it.
//
// Starts `cargo latentlab lab`, opens notebooks in Chromium (CHROMIUM, else `chromium`), runs them, presses stop, closes them and opens
// them again.
// Screenshots go to FOLDER. The first check that fails ends the program with an error.

const assert = require("node:assert");
const { execFileSync, spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const { chromium } = require("playwright-core");

const PROJECT = path.resolve(__dirname, "../..");
// A folder among the notebooks that does not belong to the project: `run` writes executed notebooks there.
const FOLDER = path.join(PROJECT, "notebooks/executed");
const SHOTS = path.resolve(process.argv[2] ?? "target/screenshots");
const MINUTE = 60_000;
/** How JupyterLab shows an error, or a line on the standard error. */
const ERROR = '[data-mime-type="application/vnd.jupyter.stderr"]';

/** A notebook without outputs, of these sources or of a lesson. */
function write(name, cells) {
  const notebook = Array.isArray(cells)
    ? {
        cells: cells.map((source, index) => ({ cell_type: "code", id: `cell-${index}`, source, metadata: {}, outputs: [], execution_count: null })),
        metadata: { kernelspec: { name: "rust", display_name: "Rust", language: "rust" } },
        nbformat: 4,
        nbformat_minor: 5,
      }
    : cells;
  fs.mkdirSync(FOLDER, { recursive: true });
  fs.writeFileSync(path.join(FOLDER, name), JSON.stringify(notebook));
}

function lesson(name) {
  const notebook = JSON.parse(fs.readFileSync(path.join(PROJECT, "notebooks", name), "utf8"));
  for (const cell of notebook.cells.filter((cell) => cell.cell_type === "code")) {
    cell.outputs = [];
    cell.execution_count = null;
  }
  return notebook;
}

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function startLab() {
  const port = await freePort();
  const token = "browser-test";
  const lab = spawn("cargo", ["latentlab", "lab", "--no-open", "--port", String(port)], {
    cwd: PROJECT,
    env: { ...process.env, JUPYTER_TOKEN: token, LATENTLAB_DATA: "built-in" },
    stdio: "inherit",
    detached: true, // its own process group, which ends with this program
  });
  const address = `http://127.0.0.1:${port}`;
  for (const end = Date.now() + 5 * MINUTE; ; await new Promise((resolve) => setTimeout(resolve, 500))) {
    assert(Date.now() < end && lab.exitCode === null, "JupyterLab did not start");
    const answer = await fetch(`${address}/api/status?token=${token}`).catch(() => null);
    if (answer?.ok) return { lab, address, token };
  }
}

/** One notebook in one page. */
class Notebook {
  static async open(browser, { address, token }, name) {
    const page = await browser.newPage({ viewport: { width: 1300, height: 2600 } });
    const notebook = new Notebook(page);
    page.on("pageerror", (error) => notebook.errors.push(String(error)));
    notebook.connected = new Promise((resolve) => {
      page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => payload.includes("kernel_info_reply") && resolve()));
    });
    await page.goto(`${address}/lab/tree/executed/${name}?token=${token}&reset`, { waitUntil: "domcontentloaded" });
    await page.waitForSelector(".jp-Notebook .jp-CodeCell", { timeout: MINUTE });
    return notebook;
  }

  constructor(page) {
    this.page = page;
    this.errors = [];
  }

  cell(index) {
    return this.page.locator(".jp-Notebook .jp-CodeCell").nth(index);
  }

  output(index) {
    return this.cell(index).locator(".jp-OutputArea-output");
  }

  async ready() {
    await this.connected;
    await this.page.waitForSelector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', { timeout: 2 * MINUTE });
  }

  async command(menu, label) {
    await this.page.click(`.lm-MenuBar-itemLabel:text-is("${menu}")`);
    await this.page.click(`.lm-Menu-itemLabel:text-is("${label}")`);
  }

  /** Starts a cell. */
  async start(index) {
    await this.cell(index).locator(".jp-InputArea-editor").click();
    await this.page.keyboard.press("Shift+Enter");
  }

  async finished(index, timeout = MINUTE) {
    await this.cell(index).locator(".jp-InputArea-prompt").filter({ hasText: /\[\d+\]/ }).waitFor({ timeout });
  }

  async run(index) {
    await this.start(index);
    await this.finished(index);
  }

  async stop() {
    await this.page.locator('.jp-NotebookPanel-toolbar [data-jp-item-name="interrupt"] jp-button').click();
  }

  async text(index) {
    return (await this.output(index).allInnerTexts()).join("\n");
  }

  async shot(name) {
    await this.page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
  }

  async save() {
    await this.page.keyboard.press("Control+s");
    await this.page.waitForFunction(() => !document.querySelector(".jp-mod-dirty"), null, { timeout: MINUTE });
  }

  /** Closes the page, in which no script may have failed; its kernel goes on. */
  async close() {
    assert.deepStrictEqual(this.errors, [], "errors in the page");
    await this.page.close();
  }
}

/** Collects the different texts that a cell's output has, until the cell has finished. */
async function watch(notebook, index) {
  const seen = [];
  const done = notebook.finished(index).then(() => true);
  for (;;) {
    const ended = await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 50, false))]);
    const text = await notebook.text(index);
    if (text && text !== seen.at(-1)) seen.push(text);
    if (ended) return seen;
  }
}

const CELLS = [
  "use latentlab::*; let digits = Dataset::built_in_digits(2_000, 0)?; let mut model = Autoencoder::tiny(2)?;",
  'LineChart::new("x", "y").line("one", &[1.0, 2.0]).figure()?.show()?; println!("between"); digits.plot_images(5)?',
  "let history = train_ae(&mut model, &digits, &TrainConfig::new().epochs(150).batch_size(32))?;",
  "let stopped = train_ae(&mut model, &digits, &TrainConfig::new().epochs(1_000_000).batch_size(32))?;",
  'println!("{stopped}\\n{} epochs before", history.epochs()); reconstructions(&model, &digits.one_of_each()?)?',
  "explore(&model, &digits)?",
  "Autoencoder::tiny(0)?;",
];

/** Drags the explorer's probe from where it is to a corner of its plot; what stands beside it before and after. */
async function drag(notebook, index) {
  const explorer = notebook.cell(index).locator("[data-live]");
  await explorer.waitFor({ timeout: MINUTE });
  await explorer.scrollIntoViewIfNeeded();
  const seen = () => explorer.locator(".code").last().innerText();
  const before = await seen();
  const [probe, plot] = [await explorer.locator(".probe .reach").boundingBox(), await explorer.locator(".plot svg").boundingBox()];
  await notebook.page.mouse.move(probe.x + probe.width / 2, probe.y + probe.height / 2);
  await notebook.page.mouse.down();
  await notebook.page.mouse.move(plot.x + 0.7 * plot.width, plot.y + 0.3 * plot.height, { steps: 10 });
  await notebook.page.mouse.up();
  return [before, await seen()];
}

async function liveThings(browser, server) {
  write("browser.ipynb", CELLS);
  let notebook = await Notebook.open(browser, server, "browser.ipynb");
  await notebook.ready();
  await notebook.run(0);

  await notebook.run(1);
  assert.strictEqual(await notebook.output(1).locator("svg, img").count(), 2, "two figures in one cell");
  assert.strictEqual(await notebook.output(1).count(), 3, "figure, line, figure");

  await notebook.start(2);
  const states = await watch(notebook, 2);
  assert(states.length > 3, `the bar moved ${states.length} times`);
  assert(states.at(-1).includes("epoch 150/150"), states.at(-1));

  await notebook.start(3);
  await notebook.output(3).locator("polyline").first().waitFor({ timeout: MINUTE });
  await notebook.shot("training");
  await notebook.stop();
  await notebook.finished(3, MINUTE / 2);
  assert.match(await notebook.text(3), /stopped/);
  await notebook.run(4);
  const used = await notebook.text(4);
  assert.match(used, /stopped\n150 epochs before/);
  assert.strictEqual(await notebook.output(4).locator("svg, img").count(), 1, "the stopped model's reconstructions");
  await notebook.shot("stopped");

  await notebook.run(5);
  const [start, end] = await drag(notebook, 5);
  assert.match(start, /^probe \(/);
  assert.notStrictEqual(end, start, "the probe moves");
  await notebook.shot("explorer");

  await notebook.run(6);
  assert.match(await notebook.cell(6).locator(ERROR).innerText(), /expected at least 1 unit/);
  await notebook.shot("error");

  const before = await Promise.all([1, 2, 3, 4].map((index) => notebook.text(index)));
  await notebook.save();
  await notebook.close();
  notebook = await Notebook.open(browser, server, "browser.ipynb");
  await notebook.output(4).locator("svg, img").first().waitFor({ timeout: MINUTE });
  assert.deepStrictEqual(await Promise.all([1, 2, 3, 4].map((index) => notebook.text(index))), before, "opened again, it shows the same");
  assert.notStrictEqual(...(await drag(notebook, 5)), "the probe moves without a kernel");
  await notebook.shot("opened-again");
  await notebook.close();
}

async function aLesson(browser, server) {
  write("lesson.ipynb", lesson("01_tiny_autoencoder.ipynb"));
  const notebook = await Notebook.open(browser, server, "lesson.ipynb");
  await notebook.ready();
  await notebook.command("Run", "Run All Cells");
  await notebook.page.locator(".jp-InputArea-prompt").filter({ hasText: "[*]" }).first().waitFor({ timeout: MINUTE });
  await notebook.page.waitForFunction(() => !document.body.innerText.includes("[*]:"), null, { timeout: 5 * MINUTE });
  assert.strictEqual(await notebook.page.locator(ERROR).count(), 0, "a lesson without errors");
  await notebook.shot("lesson");
  await notebook.close();
}

(async () => {
  fs.mkdirSync(SHOTS, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? execFileSync("which", ["chromium"], { encoding: "utf8" }).trim(),
    // Continuous integration runs as root, in a container without a large /dev/shm.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  const server = await startLab();
  try {
    for (const test of [liveThings, aLesson]) {
      const start = Date.now();
      await test(browser, server);
      console.log(`${((Date.now() - start) / 1000).toFixed(1).padStart(7)} s  ${test.name}`);
    }
  } catch (error) {
    const pages = browser.contexts().flatMap((context) => context.pages());
    for (const [number, page] of pages.entries()) await page.screenshot({ path: path.join(SHOTS, `failed-${number}.png`) });
    throw error;
  } finally {
    await browser.close();
    process.kill(-server.lab.pid, "SIGTERM");
    for (const name of ["browser.ipynb", "lesson.ipynb"]) fs.rmSync(path.join(FOLDER, name), { force: true });
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
