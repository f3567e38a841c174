//! The examples load.

use std::{fs, path::Path};

#[test]
fn every_example_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            examples += 1;
            if let Err(errors) = penstock_config::load(&path) {
                panic!("{errors}");
            }
        }
    }
    assert!(examples >= 3, "minimal, full and quickstart");
}
