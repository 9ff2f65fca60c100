//! Saved files with another header and the right hash: made on purpose, not by accident.

use sha2::{Digest, Sha256};

const BEFORE_HASH: &str = r#"\"sha256\":\""#;

/// latentlab's header, as JSON.
pub fn header(file: &[u8]) -> String {
    outer(file)["__metadata__"]["latentlab"].as_str().unwrap().into()
}

/// The file with another header.
pub fn with_header_alone(file: &[u8], header: &str) -> Vec<u8> {
    let mut outer = outer(file);
    outer["__metadata__"]["latentlab"] = header.into();
    with_outer(file, &outer.to_string())
}

/// The file with another header, and the hash of the whole where the header has a field for it.
pub fn with_header(file: &[u8], header: &str) -> Vec<u8> {
    let mut bytes = with_header_alone(file, header);
    let digits = |bytes: &[u8]| {
        let start = bytes.windows(BEFORE_HASH.len()).position(|window| window == BEFORE_HASH.as_bytes())?;
        let start = start + BEFORE_HASH.len();
        bytes.get(start..start + 64).map(|_| start)
    };
    if let Some(start) = digits(&bytes) {
        bytes[start..start + 64].fill(b'0');
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        bytes[start..start + 64].copy_from_slice(hash.as_bytes());
    }
    bytes
}

/// The file with another header of safetensors.
pub fn with_outer(file: &[u8], outer: &str) -> Vec<u8> {
    [&(outer.len() as u64).to_le_bytes()[..], outer.as_bytes(), tensors(file)].concat()
}

/// The bytes of all tensors.
pub fn tensors(file: &[u8]) -> &[u8] {
    &file[8 + outer_length(file)..]
}

/// The header of safetensors.
pub fn outer(file: &[u8]) -> serde_json::Value {
    serde_json::from_slice(&file[8..8 + outer_length(file)]).unwrap()
}

fn outer_length(file: &[u8]) -> usize {
    u64::from_le_bytes(file[..8].try_into().unwrap()) as usize
}

/// The file in the first format version, whose hashes cover tensors only. For networks of dense layers.
pub fn as_version_1(file: &[u8]) -> Vec<u8> {
    let (outer, header) = (outer(file), header(file));
    let json: serde_json::Value = serde_json::from_str(&header).unwrap();
    let hash = |names: &mut dyn Iterator<Item = String>| -> String {
        let mut hash = Sha256::new();
        for offsets in names.filter_map(|name| outer.get(name)?.get("data_offsets")) {
            let [from, to] = [0, 1].map(|end| offsets[end].as_u64().unwrap() as usize);
            hash.update(&tensors(file)[from..to]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut weights = Vec::new();
    for network in json["networks"].as_array().unwrap() {
        for layer in 1..=network["layers"].as_array().unwrap().len() {
            let name = network["name"].as_str().unwrap();
            weights.extend(["weight", "bias"].map(|parameter| format!("{name}.{layer}.{parameter}")));
        }
    }
    let (start, end) = (header.find(r#""sha256""#).unwrap(), header.find(r#""model""#).unwrap());
    let header = header.replace(&header[start..end], "").replace(r#""version":2"#, r#""version":1"#);
    let (model, training) = match header.rsplit_once(r#","training":"#) {
        Some((model, training)) => {
            let names = json["training"]["tensors"].as_array().unwrap().iter();
            let others = hash(&mut names.map(|name| name.as_str().unwrap().to_string()));
            (model, format!(r#","training":{},"sha256":"{others}"}}}}"#, training.strip_suffix("}}").unwrap()))
        }
        None => (header.strip_suffix('}').unwrap(), "}".into()),
    };
    let mut first = outer.clone();
    first["__metadata__"]["latentlab"] =
        format!(r#"{model},"sha256":"{}"{training}"#, hash(&mut weights.into_iter())).into();
    with_outer(file, &first.to_string())
}
