// A notebook in JupyterLab or Notebook 7 and Chromium (CHROMIUM, else `chromium`), with playwright-core where node finds it: what
// the tests share.

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

/** The notebooks that a test has written. */
const written = [];

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
  written.push(name);
  fs.writeFileSync(path.join(FOLDER, name), JSON.stringify(notebook));
}

function lessonAsItIs(name) {
  return JSON.parse(fs.readFileSync(path.join(PROJECT, "notebooks", name), "utf8"));
}

function lesson(name) {
  const notebook = lessonAsItIs(name);
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

/** What a front end calls its page of a notebook. Notebook 7, if it is installed, is served by the same server as JupyterLab. */
const LAB = "lab/tree";
const NOTEBOOK_7 = "notebooks";

/** Errors of Notebook 7.6 itself at its start, also without a kernel. */
const ITS_OWN = /reading 'schema'|Command 'filebrowser:open-path' not registered/;

/** One notebook in one page. */
class Notebook {
  static async open(browser, { address, token }, name, frontEnd = LAB) {
    const page = await browser.newPage({ viewport: { width: 1300, height: 2600 } });
    const notebook = new Notebook(page);
    page.on("pageerror", (error) => frontEnd === NOTEBOOK_7 && ITS_OWN.test(error) || notebook.errors.push(String(error)));
    notebook.connects();
    await page.goto(`${address}/${frontEnd}/executed/${name}?token=${token}&reset`, { waitUntil: "domcontentloaded" });
    await page.waitForSelector(".jp-Notebook .jp-CodeCell", { timeout: MINUTE });
    return notebook;
  }

  constructor(page) {
    this.page = page;
    this.errors = [];
  }

  /**
   * From now on, `ready` waits for a kernel's first answer to this page, and `connecting` until the page has a kernel, which need
   * not answer yet: before that, JupyterLab drops a cell that is started, with any kernel.
   */
  connects() {
    this.connecting = this.page.waitForEvent("websocket", { predicate: (socket) => socket.url().includes("/channels"), timeout: MINUTE });
    this.connecting.catch(() => {}); // not every test waits for it
    this.connected = new Promise((resolve) => {
      this.page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => payload.includes("kernel_info_reply") && resolve()));
    });
  }

  cell(index) {
    return this.page.locator(".jp-Notebook .jp-CodeCell").nth(index);
  }

  output(index) {
    return this.cell(index).locator(".jp-OutputArea-output");
  }

  async ready() {
    await this.connected;
    await this.status("idle", 2 * MINUTE);
  }

  async status(status, timeout = MINUTE) {
    await this.page.waitForSelector(`.jp-Notebook-ExecutionIndicator[data-status="${status}"]`, { timeout });
  }

  async command(menu, label) {
    await this.page.click(`.lm-MenuBar-itemLabel:text-is("${menu}")`);
    await this.page.click(`.lm-Menu-itemLabel:text-is("${label}")`);
  }

  /** Starts a cell. */
  async start(index) {
    // So that the number of an earlier run does not count as finished.
    await this.cell(index).locator(".jp-InputArea-prompt").evaluate((prompt) => (prompt.textContent = ""));
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
    const saved = this.page.waitForResponse((answer) => answer.request().method() === "PUT" && answer.url().includes("/api/contents/"));
    await this.page.keyboard.press("Control+s");
    assert((await saved).ok(), "not saved");
  }

  async restart() {
    this.connects();
    await this.command("Kernel", "Restart Kernel…");
    await this.page.click(".jp-Dialog .jp-mod-accept");
  }

  /** Closes the page, in which no script may have failed; its kernel goes on. */
  async close() {
    assert.deepStrictEqual(this.errors, [], "errors in the page");
    await this.page.close();
  }
}

/** Starts `cargo latentlab lab` and runs the tests; the first check that fails ends the program with an error. */
async function main(tests) {
  fs.mkdirSync(SHOTS, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? execFileSync("which", ["chromium"], { encoding: "utf8" }).trim(),
    // Continuous integration runs as root, in a container without a large /dev/shm.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  const server = await startLab();
  try {
    for (const test of tests) {
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
    for (const name of written) fs.rmSync(path.join(FOLDER, name), { force: true });
  }
}

module.exports = {
  ERROR,
  MINUTE,
  NOTEBOOK_7,
  Notebook,
  PROJECT,
  SHOTS,
  lesson,
  lessonAsItIs,
  write,
  run: (tests) =>
    main(tests).catch((error) => {
      console.error(error);
      process.exit(1);
    }),
};
