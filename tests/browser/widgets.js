// Sliders of a Rust cell in JupyterLab and Notebook 7: node widgets.js FOLDER, with playwright-core where node finds it, after
// clients.py of tests/jupyter. Screenshots go to FOLDER. Notebook 7 is tested if it is installed beside JupyterLab.

const assert = require("node:assert");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { ERROR, MINUTE, NOTEBOOK_7, Notebook, PROJECT, SHOTS, run, write } = require("./jupyter.js");

const TRAINING =
  "use latentlab::*; let digits = Dataset::built_in_digits(2_000, 0)?; let mut model = Autoencoder::tiny(2)?;\n" +
  "let before = train_ae(&mut model, &digits, &TrainConfig::new().epochs(20).batch_size(32))?;";
const TRAVERSE = "traverse(&model, &digits)?;";
const FIGURES =
  'let few = digits.take(20); interact([int_slider("images", 1..=9)], move |values| few.plot_images(values.integer("images")?))?;';

const CELLS = [
  TRAINING,
  TRAVERSE,
  "let endless = train_ae(&mut model, &digits, &TrainConfig::new().epochs(1_000_000).batch_size(32))?;",
  'interact([slider("x", 0.0..=1.0), int_slider("n", 1..=9), checkbox("noise", true), dropdown("model", ["dense", "convolutional"]),\n' +
    '    text_input("title", "My codes"), button("draw again")], |values| values.float("y"))?;',
  "loop {}",
  "let gan = Gan::convolutional(100)?; gan.play()?;",
  "let few = digits.take(300); { let vae = |seed| Vae::strided([16, 32, 64], 128, 10).map(|vae| vae.seed(seed));\n" +
    "compare_beta([(0.1, &vae(0)?), (0.5, &vae(1)?), (1.0, &vae(2)?), (4.0, &vae(3)?)], &few)?; };",
];

/** Presses a key on a slider; the milliseconds until the figure has changed. */
async function press(notebook, index, slider, key) {
  const before = await notebook.cell(index).locator("img:visible").last().getAttribute("src");
  const handle = notebook.cell(index).locator(".noUi-handle").nth(slider);
  await handle.focus();
  // In the page, for Playwright's own messages take as long as the figure.
  const changed = notebook.page.evaluate(
    ([cell, before]) =>
      new Promise((resolve) => {
        const output = document.querySelectorAll(".jp-Notebook .jp-CodeCell")[cell];
        let start = performance.now();
        output.addEventListener("keydown", () => (start = performance.now()), { capture: true, once: true });
        const look = () => {
          const images = [...output.querySelectorAll("img")].filter((image) => image.offsetParent);
          if (images.length > 0 && images.at(-1).getAttribute("src") !== before) resolve(performance.now() - start);
          else if (performance.now() < start + 10_000) requestAnimationFrame(look);
          else resolve(Infinity);
        };
        look();
      }),
    [index, before],
  );
  await notebook.page.keyboard.press(key);
  const time = await changed;
  assert(time < 10_000, `the figure does not change with slider ${slider}`);
  return time;
}

/** In turn on some sliders. */
async function latency(notebook, index, presses, [up, down] = ["ArrowRight", "ArrowLeft"], sliders = [1, 2]) {
  const times = [];
  for (let number = 0; number < presses; number += 1) {
    const isUp = number % (2 * sliders.length) < sliders.length;
    times.push(await press(notebook, index, sliders[number % sliders.length], isUp ? up : down));
  }
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor(share * (times.length - 1))].toFixed(0);
  return `median ${at(0.5)} ms, 95 % ${at(0.95)} ms`;
}

function readouts(notebook) {
  return notebook.cell(1).locator(".widget-readout").allInnerTexts();
}

async function sliders(browser, server) {
  write("widgets.ipynb", CELLS);
  let notebook = await Notebook.open(browser, server, "widgets.ipynb");
  await notebook.ready();
  await notebook.run(0);
  await notebook.run(1);
  await notebook.cell(1).locator(".noUi-handle").nth(2).waitFor({ timeout: MINUTE });
  assert.strictEqual(await notebook.cell(1).locator(".widget-readout").count(), 3, "image, latent 1, latent 2");
  const before = await readouts(notebook);
  const idle = await latency(notebook, 1, 12);
  await press(notebook, 1, 0, "PageUp");
  await notebook.page.waitForFunction(
    ([cell, before]) => document.querySelectorAll(".jp-Notebook .jp-CodeCell")[cell].querySelectorAll(".widget-readout")[1].innerText !== before,
    [1, before[1]],
  );
  const set = await readouts(notebook);
  assert(set[0] !== before[0] && set[1] !== before[1] && set[2] !== before[2], `an image sets the sliders: ${before} ${set}`);
  await notebook.shot("widgets");

  const others = [["play", 5], ["compare_beta", 6]];
  const times = [["traverse", idle]];
  for (const [name, index] of others) {
    await notebook.run(index);
    await notebook.cell(index).locator("img:visible").waitFor({ timeout: MINUTE });
    times.push([name, await latency(notebook, index, 12, undefined, [0])]);
  }
  await notebook.shot("widgets-ready-made");

  await notebook.start(2);
  await notebook.output(2).locator("polyline").first().waitFor({ timeout: MINUTE });
  times.push(["traverse, while a cell trains", await latency(notebook, 1, 12)]);
  for (const [name, index] of others) {
    times.push([`${name}, while a cell trains`, await latency(notebook, index, 12, undefined, [0])]);
  }
  await notebook.status("busy", 5000);
  await notebook.shot("widgets-training");
  await notebook.stop();
  await notebook.finished(2, MINUTE / 2);
  for (const [name, time] of times) console.log(`        JupyterLab, from a key to a new image, ${name}: ${time}`);

  await notebook.run(3);
  await notebook.cell(3).locator(".jupyter-button").waitFor({ timeout: MINUTE });
  await notebook.cell(3).locator(".latentlab-error").waitFor({ timeout: MINUTE });
  assert.strictEqual(await notebook.cell(3).locator(ERROR).count(), 0, "an error of the function fails no cell");
  await notebook.shot("widgets-controls");
  await notebook.save();
  await notebook.close();

  // Opened again: the same sliders, and the figure moves with them.
  notebook = await Notebook.open(browser, server, "widgets.ipynb");
  await notebook.ready();
  await notebook.cell(1).locator(".noUi-handle").nth(2).waitFor({ timeout: MINUTE });
  assert.deepStrictEqual(await readouts(notebook), set, "the sliders are where they were");
  await press(notebook, 1, 1, "PageUp");
  assert.strictEqual(await notebook.cell(1).locator("img:visible").count(), 1, "one figure");
  await notebook.shot("widgets-opened-again");

  // Interrupted hard: the last figure and a line.
  await notebook.start(4);
  await notebook.status("busy");
  await notebook.page.waitForTimeout(1000);
  await notebook.stop();
  await ended(notebook, 1);
  await notebook.shot("widgets-ended");
  await notebook.close();
}

/** The source of the image that a cell shows. */
function image(notebook, index) {
  return notebook.cell(index).locator("img:visible").last().getAttribute("src");
}

async function notebook7(browser, server) {
  const installed = execFileSync(path.join(PROJECT, ".jupyter/python/bin/python"), ["-c", "import importlib.util as i; print(i.find_spec('notebook'))"]);
  if (String(installed).trim() === "None") return console.log("        Notebook 7 is not installed: not tested");
  write("notebook-7.ipynb", [TRAINING, TRAVERSE, FIGURES, "Autoencoder::tiny(0)?;"]);
  const notebook = await Notebook.open(browser, server, "notebook-7.ipynb", NOTEBOOK_7);
  await notebook.ready();
  await notebook.start(0);
  await notebook.output(0).locator("polyline").first().waitFor({ timeout: MINUTE });
  await notebook.finished(0);
  assert.match(await notebook.text(0), /epoch 20\/20/);
  await notebook.run(1);
  await notebook.cell(1).locator(".noUi-handle").nth(2).waitFor({ timeout: MINUTE });
  // The arrow keys fold headings there, also on a slider of ipywidgets.
  console.log(`        Notebook 7, from a key to a new image: ${await latency(notebook, 1, 12, ["PageUp", "PageDown"])}`);
  await notebook.run(2);
  await notebook.cell(2).locator("img:visible").waitFor({ timeout: MINUTE });
  const first = await image(notebook, 1);
  await press(notebook, 2, 0, "PageUp");
  assert.strictEqual(await image(notebook, 1), first, "the other figure stays");
  await notebook.run(3);
  assert.match(await notebook.cell(3).locator(ERROR).innerText(), /expected at least 1 unit/);
  const set = await readouts(notebook);
  await notebook.shot("notebook-7");
  await notebook.save();

  notebook.connects();
  await notebook.page.reload({ waitUntil: "domcontentloaded" });
  await notebook.ready();
  await notebook.cell(1).locator(".noUi-handle").nth(2).waitFor({ timeout: MINUTE });
  assert.deepStrictEqual(await readouts(notebook), set, "the sliders are where they were");
  await press(notebook, 1, 1, "PageUp");
  assert.strictEqual(await notebook.cell(1).locator("img:visible").count(), 1, "one figure");

  await notebook.restart();
  await disconnected(notebook, 1);
  await notebook.shot("notebook-7-restarted");
  await notebook.run(0);
  await notebook.run(1);
  await notebook.cell(1).locator(".noUi-handle").nth(2).waitFor({ timeout: MINUTE });
  await press(notebook, 1, 1, "PageUp");
  await notebook.close();
}

/** The controls of a cell are gone: the last figure and a line are left. */
async function ended(notebook, index) {
  await notebook.cell(index).locator(".noUi-handle").first().waitFor({ state: "detached", timeout: MINUTE });
  await notebook.cell(index).getByText("no longer move").waitFor({ timeout: MINUTE });
  assert.strictEqual(await notebook.cell(index).locator("img:visible").count(), 1, "the last figure stays");
}

/** The kernel is gone without a word, or the page restarts it, which then takes no more words of it: as with ipywidgets, the controls stay
 *  with a broken chain beside each. */
async function disconnected(notebook, index) {
  await notebook.cell(index).locator(".noUi-handle").first().waitFor();
  await notebook.cell(index).locator(".jupyter-widgets-disconnected").first().waitFor({ timeout: MINUTE });
  assert.strictEqual(await notebook.cell(index).locator("img:visible").count(), 1, "the last figure stays");
}

function parent(pid) {
  return Number(execFileSync("ps", ["-o", "ppid=", "-p", String(pid).trim()]));
}

/** Evcxr's process and the relay's, each killed while a slider is dragged: Jupyter starts a new kernel, in which the cells run. */
async function killed(browser, server) {
  write("killed.ipynb", ['use latentlab::*; let digits = Dataset::built_in_digits(20, 0)?; println!("{}", std::process::id());', FIGURES]);
  let notebook = await Notebook.open(browser, server, "killed.ipynb");
  await notebook.ready();
  for (const victim of ["evcxr", "relay"]) {
    await notebook.run(0);
    await notebook.run(1);
    const handle = notebook.cell(1).locator(".noUi-handle");
    await handle.waitFor({ timeout: MINUTE });
    await press(notebook, 1, 0, "ArrowRight");
    const evcxr = parent(await notebook.output(0).filter({ hasText: /^\s*\d+\s*$/ }).innerText());
    const { mouse } = notebook.page;
    const { x, y, width, height } = await handle.boundingBox();
    await mouse.move(x + width / 2, y + height / 2);
    await mouse.down();
    for (let step = 1; step <= 40; step += 1) {
      await mouse.move(x + width / 2 + 3 * step, y + height / 2);
      if (step === 20) process.kill(victim === "evcxr" ? evcxr : parent(evcxr), "SIGKILL");
    }
    await mouse.up();
    const told = notebook.page.locator(".jp-Dialog", { hasText: "appears to have died" });
    await told.waitFor({ timeout: MINUTE });
    await notebook.shot(`killed-${victim}`);
    await told.locator(".jp-mod-accept").click();
    await (victim === "evcxr" ? ended : disconnected)(notebook, 1);
    await notebook.status("idle", 3 * MINUTE);
  }
  await notebook.run(0);
  await notebook.run(1);
  await press(notebook, 1, 0, "ArrowRight");
  // Of ipywidgets, where a control without a kernel is moved.
  notebook.errors = notebook.errors.filter((error) => !error.includes("no comm channel defined"));
  await notebook.save();
  await notebook.close();

  // The next day: another kernel, which knows nothing of the controls.
  await shutDownAll(server);
  assert.deepStrictEqual(zombies(server), [], "ended processes that the server has not collected");
  notebook = await Notebook.open(browser, server, "killed.ipynb");
  await notebook.ready();
  await disconnected(notebook, 1);
  assert.doesNotMatch(await notebook.text(1), /Loading widget|Error displaying/);
  await notebook.shot("next-day");
  await notebook.close();
}

async function shutDownAll({ address, token }) {
  const headers = { Authorization: `token ${token}` };
  const sessions = await (await fetch(`${address}/api/sessions`, { headers })).json();
  for (const { id } of sessions) assert((await fetch(`${address}/api/sessions/${id}`, { method: "DELETE", headers })).ok);
}

/** The server's child processes that have ended. */
function zombies({ lab }) {
  const children = execFileSync("ps", ["-eo", "ppid=,stat=,args="], { encoding: "utf8" }).split("\n").map((line) => line.trim().split(/\s+/));
  return children.filter(([parent, state]) => Number(parent) === lab.pid && state.startsWith("Z"));
}

/** What nbclient has saved, as a page without a kernel and without a network. */
async function saved(browser, server) {
  const page = await browser.newPage({ viewport: { width: 1000, height: 700 } });
  await page.route(/^https?:/, (route) => route.abort());
  await page.goto(`file://${path.join(PROJECT, "target/tmp/sliders.html")}`, { waitUntil: "domcontentloaded" });
  assert.strictEqual(await page.locator("img:visible").count(), 1, "the figure of the page");
  await page.screenshot({ path: path.join(SHOTS, "saved-html.png") });
  await page.close();
  for (const name of ["sliders.ipynb", "figure.ipynb"]) {
    const saved = JSON.parse(fs.readFileSync(path.join(PROJECT, "target/tmp", name), "utf8"));
    saved.metadata.kernelspec.name = "missing";
    write(name, saved);
    const notebook = await Notebook.open(browser, server, name);
    await notebook.page.locator(".jp-Dialog button", { hasText: "No Kernel" }).click();
    await notebook.cell(1).locator("img:visible").waitFor({ timeout: MINUTE });
    await notebook.page.waitForTimeout(500);
    await notebook.shot(`saved-${name.split(".")[0]}`);
    assert.doesNotMatch(await notebook.text(1), /Loading widget|Error displaying/);
    await notebook.close();
  }
}

run([sliders, notebook7, killed, saved]);
