// Sliders of a Rust cell in JupyterLab: node widgets.js FOLDER, with playwright-core where node finds it. Screenshots go to FOLDER.

const assert = require("node:assert");
const { ERROR, MINUTE, Notebook, run, write } = require("./jupyter.js");

const CELLS = [
  "use latentlab::*; let digits = Dataset::built_in_digits(2_000, 0)?; let mut model = Autoencoder::tiny(2)?;\n" +
    "let before = train_ae(&mut model, &digits, &TrainConfig::new().epochs(20).batch_size(32))?;",
  "traverse(&model, &digits)?;",
  "let endless = train_ae(&mut model, &digits, &TrainConfig::new().epochs(1_000_000).batch_size(32))?;",
  'interact([slider("x", 0.0..=1.0), int_slider("n", 1..=9), checkbox("noise", true), dropdown("model", ["dense", "convolutional"]),\n' +
    '    text_input("title", "My codes"), button("draw again")], |values| values.float("y"))?;',
  "loop {}",
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

async function latency(notebook, index, presses) {
  const times = [];
  for (let number = 0; number < presses; number += 1) {
    times.push(await press(notebook, index, 1 + (number % 2), number % 4 < 2 ? "ArrowRight" : "ArrowLeft"));
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

  await notebook.start(2);
  await notebook.output(2).locator("polyline").first().waitFor({ timeout: MINUTE });
  const training = await latency(notebook, 1, 12);
  const status = '.jp-Notebook-ExecutionIndicator[data-status="busy"]';
  await notebook.page.waitForSelector(status, { timeout: 5000 });
  await notebook.shot("widgets-training");
  await notebook.stop();
  await notebook.finished(2, MINUTE / 2);
  console.log(`        from a key to a new image: idle ${idle}; while a cell trains ${training}`);

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
  await notebook.page.waitForSelector(status, { timeout: MINUTE });
  await notebook.page.waitForTimeout(1000);
  await notebook.stop();
  await notebook.cell(1).locator(".noUi-handle").first().waitFor({ state: "detached", timeout: MINUTE });
  await notebook.cell(1).getByText("no longer move").waitFor({ timeout: MINUTE });
  assert.strictEqual(await notebook.cell(1).locator("img:visible").count(), 1, "the last figure stays");
  await notebook.shot("widgets-ended");
  await notebook.close();
}

run([sliders]);
