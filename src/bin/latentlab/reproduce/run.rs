//! What tasks use: the data, the trainings, and their results.

use std::path::PathBuf;

use latentlab::{Dataset, Figure, Gan, GanConfig, GanHistory, History, Result, TrainConfig, train_gan};

use super::{
    results::{Item, Number, figure_html},
    store::Store,
};

/// Of MNIST and Fashion-MNIST, the first 60,000 images are for training.
const TRAINING: usize = 60_000;

pub struct Run<'a> {
    store: &'a Store,
    pub quick: bool,
    /// The number of epochs, where the protocol leaves it to the user: see `Protocol::epochs`.
    pub asked_epochs: usize,
    /// Training and test images together.
    pub all: Dataset,
    pub train: Dataset,
    pub test: Dataset,
    items: Vec<Item>,
}

impl<'a> Run<'a> {
    /// A quick run uses only a few images.
    pub fn new(store: &'a Store, data: &Dataset, asked_epochs: usize) -> Result<Self> {
        let quick = store.settings.quick;
        let (training, test) = if quick { (1_000, 500) } else { (TRAINING, data.len() - TRAINING) };
        let all = if quick {
            data.select(&(0..training).chain(TRAINING..TRAINING + test).collect::<Vec<_>>())?
        } else {
            data.clone()
        };
        let (train, test) = all.split(training, test)?;
        Ok(Self { store, quick, asked_epochs, all, train, test, items: Vec::new() })
    }

    /// The protocol's epochs; two at most in a quick run.
    pub fn epochs(&self, epochs: usize) -> usize {
        if self.quick { epochs.min(2) } else { epochs }
    }

    /// The path of a model that later tasks use.
    pub fn model(&self, name: &str) -> PathBuf {
        self.store.model(name)
    }

    /// The path of another file of a task.
    pub fn file(&self, name: &str) -> PathBuf {
        self.store.file(name)
    }

    /// One of latentlab's `train_…`. A training that was interrupted is resumed; one that has ended returns its history
    /// at once.
    pub fn training<M>(
        &self,
        train: fn(&mut M, &Dataset, &TrainConfig) -> Result<History>,
        name: &str,
        model: &mut M,
        images: &Dataset,
        config: TrainConfig,
    ) -> Result<History> {
        let path = self.announced(name);
        let config = config.checkpoint(&path);
        train(model, images, &if path.exists() { config.resume(path) } else { config })
    }

    /// [`training`](Self::training) of a GAN.
    pub fn train_gan(&self, name: &str, model: &mut Gan, images: &Dataset, config: GanConfig) -> Result<GanHistory> {
        let path = self.announced(name);
        let config = config.checkpoint(&path);
        train_gan(model, images, &if path.exists() { config.resume(path) } else { config })
    }

    /// The checkpoint of a training that begins.
    fn announced(&self, name: &str) -> PathBuf {
        println!("  {name}");
        self.store.checkpoint(name)
    }

    pub fn text(&mut self, text: impl Into<String>) {
        self.items.push(Item::Text(text.into()));
    }

    pub fn number(&mut self, number: Number) {
        let ours = number.ours.map_or("not a number".into(), |ours| number.text(ours));
        let report = number.report.map_or(String::new(), |report| format!(" (report: {})", number.text(report)));
        println!("  {}: {ours}{report}", number.name);
        self.items.push(Item::Number(number));
    }

    pub fn table(&mut self, caption: impl Into<String>, head: &[&str], rows: Vec<Vec<String>>) {
        let head = head.iter().map(|&name| name.into()).collect();
        self.items.push(Item::Table { caption: caption.into(), head, rows });
    }

    pub fn figure(&mut self, caption: impl Into<String>, figure: &Figure) -> Result<()> {
        self.items.push(Item::Figure { caption: caption.into(), html: figure_html(figure)? });
        Ok(())
    }

    /// The results of the task that ends here.
    pub fn take_items(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.items)
    }
}
