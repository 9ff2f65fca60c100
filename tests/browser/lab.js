// JupyterLab as a student uses it, in a real browser: node lab.js FOLDER, with playwright-core where node finds it.
//
// Opens notebooks in Chromium, runs them, presses stop, closes them and opens them again. Screenshots go to FOLDER.

const assert = require("node:assert");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { ERROR, MINUTE, Notebook, PROJECT, lesson, lessonAsItIs, run, write } = require("./jupyter.js");

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
  const map = explorer.locator(".map:not([hidden])").first();
  const [probe, plot] = [await map.locator(".probe .reach").boundingBox(), await map.locator(".plot svg").boundingBox()];
  await notebook.page.mouse.move(probe.x + probe.width / 2, probe.y + probe.height / 2);
  await notebook.page.mouse.down();
  await notebook.page.mouse.move(plot.x + 0.7 * plot.width, plot.y + 0.3 * plot.height, { steps: 10 });
  await notebook.page.mouse.up();
  return [before, await seen()];
}

/** At the first start JupyterLab is there before the library: a cell waits for it. */
async function aNotebookWhileTheLibraryIsBuilt(browser, server) {
  write("first.ipynb", ["latentlab::ndarray::array![1, 2].sum()"]);
  const notebook = await Notebook.open(browser, server, "first.ipynb");
  await notebook.connecting;
  await notebook.start(0);
  assert(!fs.existsSync(`${BUILD}/stamp`), "the notebook is there before the library");
  await notebook.shot("library-is-built");
  otherBuild.kill();
  await notebook.finished(0, 5 * MINUTE);
  assert.strictEqual((await notebook.text(0)).trim(), "3");
  assert(fs.existsSync(`${BUILD}/stamp`), "the library is built");
  await notebook.close();
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
  assert.match(start, /^probe at image/);
  assert.match(end, /^probe at latent 1/, "the probe moves");
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

/** The setup has had Jupyter trust the lessons: it shows an SVG figure of a notebook that it does not trust as nothing. */
async function aLessonBeforeItRuns(browser, server) {
  write("lesson.ipynb", lessonAsItIs("01_tiny_autoencoder.ipynb"));
  const notebook = await Notebook.open(browser, server, "lesson.ipynb");
  await notebook.page.locator(".jp-RenderedSVG :is(svg, img)").first().waitFor({ timeout: MINUTE });
  await notebook.shot("lesson-before-it-runs");
  await notebook.close();
}

// As if the library had changed, and another program were building it until the first notebook is there.
const BUILD = path.join(PROJECT, ".jupyter/build/warm");
fs.rmSync(`${BUILD}/stamp`, { force: true });
const otherBuild = spawn("flock", ["--no-fork", `${BUILD}.lock`, "sh", "-c", "echo locked; exec sleep 600"]);
process.on("exit", () => otherBuild.kill());
otherBuild.stdout.once("data", () => run([aNotebookWhileTheLibraryIsBuilt, liveThings, aLessonBeforeItRuns, aLesson]));
