use std::{fs, path::Path};

#[test]
fn what_must_hold_holds_for_every_seed() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (folder, target) in [
        ("model_json", super::json as fn(&[u8])),
        ("model_form", super::form),
    ] {
        let mut played = 0;
        for seed in fs::read_dir(seeds.join(folder)).unwrap() {
            target(&fs::read(seed.unwrap().path()).unwrap());
            played += 1;
        }
        assert!(played >= 5, "{folder}");
    }
}
