//! Views of models that change: [`Live`] shows the weights of after the last step, all of the same one.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use latentlab::{
    Autoencoder, Classifier, Dataset, Error, Gan, GanConfig, Live, Loss, Optimizer, Sequential, Step, StopHandle,
    StoppedBy, TrainConfig, Training, Vae, gan_step, ndarray::Array1, train_ae, train_classifier, train_gan,
    train_pairs, train_vae,
};

fn digits() -> Dataset {
    Dataset::built_in_digits(120, 0).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new().epochs(2).batch_size(20).progress_every(0)
}

/// All weights and statistics, as bits.
fn bits(networks: &[&Sequential]) -> Vec<u32> {
    let weights = networks.iter().flat_map(|network| {
        network.weight_names().into_iter().flat_map(|name| network.weights(&name).unwrap().into_raw_vec_and_offset().0)
    });
    weights.map(f32::to_bits).collect()
}

fn bits_of(model: &Autoencoder) -> Vec<u32> {
    bits(&[model.encoder(), model.decoder()])
}

/// With a batch normalisation, so that there are statistics too.
fn small() -> Autoencoder {
    Autoencoder::new(
        Sequential::input([1, 28, 28]).flatten().dense(16).batch_norm().relu().dense(2),
        Sequential::input([2]).dense(16).relu().dense(784).sigmoid().reshape([1, 28, 28]),
    )
    .unwrap()
}

#[test]
fn every_model_is_seen_as_its_training_leaves_it() {
    let images = digits();
    let mut autoencoder = small();
    let (live, before) = (autoencoder.live(), bits_of(&autoencoder));
    assert_eq!(bits_of(&live.model()), before);
    train_ae(&mut autoencoder, &images, &config()).unwrap();
    assert_eq!(bits_of(&live.model()), bits_of(&autoencoder));
    assert_ne!(bits_of(&live.model()), before);

    let mut vae = Vae::strided([2, 2, 2], 8, 2).unwrap();
    let (live, of) = (vae.live(), |vae: &Vae| bits(&[vae.encoder(), vae.heads(), vae.decoder()]));
    train_vae(&mut vae, &images, &config().loss(Loss::BinaryCrossEntropy)).unwrap();
    assert_eq!(of(&live.model()), of(&vae));

    let mut gan = Gan::new(
        Sequential::input([4]).dense(784).sigmoid().reshape([1, 28, 28]),
        Sequential::input([1, 28, 28]).flatten().dense(8).leaky_relu(0.2).dense(1),
    )
    .unwrap();
    let (live, of) = (gan.live(), |gan: &Gan| bits(&[gan.generator(), gan.discriminator()]));
    train_gan(&mut gan, &images, &GanConfig::new().epochs(1).batch_size(20).progress_every(0)).unwrap();
    assert_eq!(of(&live.model()), of(&gan));
    let generator = gan.generator().live();
    gan_step(&mut gan, &images).unwrap();
    assert_eq!(of(&live.model()), of(&gan));
    assert_eq!(bits(&[&generator.model()]), bits(&[gan.generator()]));

    // Its encoder does not learn, until it is told to.
    let mut classifier = Classifier::dense(autoencoder.encoder(), 10).unwrap().frozen();
    let (live, of) = (classifier.live(), |classifier: &Classifier| bits(&[classifier.encoder(), classifier.head()]));
    train_classifier(&mut classifier, &images, &config()).unwrap();
    assert_eq!(of(&live.model()), of(&classifier));
    let mut classifier = classifier.fine_tuned();
    train_classifier(&mut classifier, &images, &config()).unwrap();
    assert_eq!(of(&live.model()), of(&classifier));

    let mut network = Sequential::input([1, 28, 28]).flatten().dense(784).reshape([1, 28, 28]);
    let live = network.live();
    train_pairs(&mut network, &images, &images, &config()).unwrap();
    assert_eq!(bits(&[&live.model()]), bits(&[&network]));
}

/// While a training runs, a reader sees it move; its results stay the same bits.
#[test]
fn a_training_with_a_reader_gives_the_same_bits() {
    let (mut alone, mut seen, images) = (small(), small(), digits());
    let config = config().epochs(20);
    let history = train_ae(&mut alone, &images, &config).unwrap();
    let (live, ended) = (seen.live(), Arc::new(AtomicBool::new(false)));
    let reader = thread::spawn({
        let ended = ended.clone();
        move || {
            let mut states = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                states.push(bits_of(&live.model()));
            }
            states.push(bits_of(&live.model()));
            states
        }
    });
    let history_seen = train_ae(&mut seen, &images, &config).unwrap();
    ended.store(true, Ordering::Relaxed);
    let mut states = reader.join().unwrap();
    assert_eq!(history.loss, history_seen.loss);
    assert_eq!(bits_of(&alone), bits_of(&seen));
    assert_eq!(states.last(), Some(&bits_of(&seen)));
    states.dedup();
    assert!(states.len() > 2, "{} states seen", states.len());
}

/// Two networks whose biases are always equal, and never are when one is of another step than the other.
#[test]
fn all_weights_are_of_the_same_step() {
    let images = digits();
    let mut vae = Vae::new(
        Sequential::input([1, 28, 28]).flatten().dense(3),
        Sequential::input([2]).dense(784).reshape([1, 28, 28]),
    )
    .unwrap();
    let seen = Arc::new(Mutex::new(vec![bits(&[vae.encoder(), vae.heads(), vae.decoder()])]));
    let (live, ended) = (vae.live(), Arc::new(AtomicBool::new(false)));
    let reader = thread::spawn({
        let ended = ended.clone();
        move || {
            let mut states = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let vae = live.model();
                states.push(bits(&[vae.encoder(), vae.heads(), vae.decoder()]));
            }
            states
        }
    });
    // An epoch is one batch, so that each state can be kept.
    let keep = {
        let seen = seen.clone();
        move |epoch: &latentlab::Epoch| {
            let vae = epoch.model::<Vae>()?;
            seen.lock().unwrap().push(bits(&[vae.encoder(), vae.heads(), vae.decoder()]));
            Ok(ControlFlow::Continue(()))
        }
    };
    train_vae(&mut vae, &images, &config().epochs(200).batch_size(120).after_epoch(keep)).unwrap();
    ended.store(true, Ordering::Relaxed);
    let (states, seen) = (reader.join().unwrap(), seen.lock().unwrap());
    assert!(states.iter().all(|state| seen.contains(state)), "a mixture of two steps");
}

#[test]
fn it_follows_what_early_stopping_and_a_divergence_restore() {
    let images = digits();
    let mut autoencoder = small();
    let live = autoencoder.live();
    let history = train_ae(&mut autoencoder, &images, &config().epochs(30).learning_rate(0.3).early_stopping(1));
    assert_eq!(bits_of(&live.model()), bits_of(&autoencoder));
    assert!(history.is_err() || history.is_ok_and(|history| history.best_epoch < history.epochs()));

    let encoder = Sequential::input([1, 28, 28]).flatten().dense(2);
    let decoder = Sequential::input([2]).dense(784).reshape([1, 28, 28]);
    let mut autoencoder = Autoencoder::new(encoder, decoder).unwrap();
    let (live, before) = (autoencoder.live(), bits_of(&autoencoder));
    let diverging = config().optimizer(Optimizer::sgd()).learning_rate(1e30);
    train_ae(&mut autoencoder, &images, &diverging).unwrap_err();
    assert_eq!((bits_of(&live.model()), bits_of(&autoencoder)), (before.clone(), before));
}

#[test]
fn it_follows_a_training_by_epochs_that_is_stopped_and_resumed() {
    let (images, stop) = (digits(), StopHandle::new());
    let config = config().epochs(3).stop_handle(&stop);
    let autoencoder = small();
    let live = autoencoder.live();
    let mut run = Training::of(autoencoder, &images, &config).unwrap();
    while run.epoch().unwrap() {
        assert_eq!(bits_of(&live.model()), bits_of(run.model()));
        if run.history().epochs() == 2 {
            stop.stop();
        }
    }
    assert_eq!(run.history().stopped_by, Some(StoppedBy::Handle));
    let (moved, _) = run.into_parts();
    assert_eq!(bits_of(&live.model()), bits_of(&moved));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("training.safetensors");
    train_ae(&mut small(), &images, &self::config().checkpoint(&file)).unwrap();
    let mut resumed = small();
    let live = resumed.live();
    train_ae(&mut resumed, &images, &self::config().resume(&file)).unwrap();
    assert_eq!(bits_of(&live.model()), bits_of(&resumed));
}

#[test]
fn it_follows_steps_and_weights_set_by_hand() {
    let mut network = Sequential::input([784]).dense(4).relu().dense(784).seed(1);
    let live: Live<Sequential> = network.live();
    let images = digits();
    let mut sgd = Optimizer::sgd().momentum(0.9).init(0.1).unwrap();
    for number in 0..3 {
        let step = Step::new(number);
        let x = step.input(images.images()).flatten();
        let loss = (network.forward(&x) - &x).square().mean();
        sgd.minimize(step, [loss], &mut network).unwrap();
        assert_eq!(bits(&[&live.model()]), bits(&[&network]), "step {number}");
    }
    network.set_weights("1.bias", &Array1::<f32>::ones(4)).unwrap();
    assert_eq!(bits(&[&live.model()]), bits(&[&network]));
    let network = network.seed(7);
    assert_eq!(bits(&[&live.model()]), bits(&[&network]));
    // With another layer it is another network.
    let longer = network.clone().relu();
    let longer = (network.relu(), longer).0;
    assert_eq!(live.model().weight_names(), longer.weight_names());
    assert!(live.model().plan().unwrap().to_string() != longer.plan().unwrap().to_string());
}

#[test]
fn it_belongs_to_one_model_and_outlives_it() {
    let images = digits();
    let original = small();
    let live = original.live();
    let mut copy = original.clone();
    train_ae(&mut copy, &images, &config()).unwrap();
    assert_eq!(bits_of(&live.model()), bits_of(&original));

    // Moved, seeded, viewed twice, dropped.
    let mut moved = Box::new(original.seed(5));
    let (again, other) = (moved.live(), live.clone());
    train_ae(&mut moved, &images, &config()).unwrap();
    let last = bits_of(&moved);
    assert_eq!([&live, &again, &other].map(|live| bits_of(&live.model())), [&last, &last, &last].map(Clone::clone));
    drop(moved);
    drop(live);
    assert_eq!(bits_of(&thread::spawn(move || again.model()).join().unwrap()), last);
    // A copy that was looked at may be changed: the view does not.
    let mut looked_at = other.model();
    train_ae(&mut looked_at, &images, &config()).unwrap();
    assert_eq!(bits_of(&other.model()), last);
    assert_eq!(format!("{other:?}"), "a live view of an Autoencoder");
}

/// Where a function of the user's panics in a step, whoever looks does not wait for ever.
#[test]
fn a_panic_in_a_training_leaves_the_last_weights() {
    let images = digits();
    let mut autoencoder = small();
    let live = autoencoder.live();
    let panicking = config().after_epoch(|_| -> Result<_, Error> { panic!("on purpose") });
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| train_ae(&mut autoencoder, &images, &panicking)))
        .unwrap_err();
    assert_eq!(bits_of(&live.model()), bits_of(&autoencoder));
    train_ae(&mut autoencoder, &images, &config()).unwrap();
    assert_eq!(bits_of(&live.model()), bits_of(&autoencoder));
}
