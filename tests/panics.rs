//! A panic in a function of one's own is told once, as an error; all others reach the program's own hook. A test by
//! itself: the hook is the process's.

use std::{panic, sync::Mutex, thread};

use latentlab::{
    Autoencoder, Dataset, DfdxTensor, Loss, Sequential, Tensor, TrainConfig,
    dfdx::tensor::NoneTape,
    ndarray::{ArrayD, IxDyn},
    train_ae,
};

static REPORTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn layer(x: &Tensor) -> Tensor {
    if x.shape()[0] == 2 {
        return x.clone();
    }
    assert!(thread::spawn(|| panic!("on another thread")).join().is_err());
    panic!("in a layer")
}

fn loss(_: &Tensor, _: &Tensor) -> Tensor {
    panic!("in a loss of {}", "tensors")
}

fn bridged(x: DfdxTensor) -> DfdxTensor {
    assert_eq!(format!("{x:?}"), "", "in a layer of dfdx");
    x
}

fn bridged_loss(_: DfdxTensor, _: DfdxTensor<(usize, usize), NoneTape>) -> DfdxTensor<()> {
    panic!("in a loss of dfdx")
}

#[test]
fn caught_panics_are_errors_and_the_others_are_reported() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
        REPORTED.lock().unwrap().push(text.or_else(|| payload.downcast_ref().cloned()).unwrap());
    }));
    let network = Sequential::input([3]).dense(4).map("own", layer).build().unwrap();
    let error = network.predict(&ArrayD::zeros(IxDyn(&[5, 3]))).unwrap_err().to_string();
    assert_eq!(
        error,
        "predict, layer 2, own, its output: its function panicked with an input of shape [5, 4]: in a layer"
    );
    let error = Sequential::input([3]).dfdx("own", bridged).build().unwrap_err().to_string();
    assert!(error.contains("panicked") && error.contains("in a layer of dfdx"), "{error}");
    let digits = Dataset::built_in_digits(9, 0).unwrap();
    for (loss, panic) in
        [(Loss::of("own", loss), "in a loss of tensors"), (Loss::dfdx("own", bridged_loss), "in a loss of dfdx")]
    {
        let config = TrainConfig::new().epochs(1).loss(loss);
        let error = train_ae(&mut Autoencoder::tiny(2).unwrap(), &digits, &config).unwrap_err().to_string();
        assert!(error.starts_with("the loss, own: ") && error.ends_with(panic), "{error}");
    }
    assert!(panic::catch_unwind(|| panic!("in the program")).is_err());
    assert_eq!(*REPORTED.lock().unwrap(), ["on another thread", "in the program"]);
}
