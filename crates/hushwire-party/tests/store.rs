//! The ledger hands a bundle out once, whatever the order of events.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use hushwire_mpc::Comparison;
use hushwire_party::{BundleId, Disk, Entry, Hash, State, Store, StoreError};
use proptest::prelude::*;

fn open(dir: &Path) -> Store {
    Store::open(dir, Arc::new(Disk)).expect("the store opens")
}

fn entry(owner: &str) -> Entry {
    Entry {
        owner: owner.into(),
        store: [2; 16],
        network: Hash::of(b"network"),
        weights: [1; 16],
        batch: 1,
        comparison: Comparison::Digits,
        created: 1,
        state: State::Ready,
    }
}

fn id(number: u8) -> BundleId {
    BundleId([number; 16])
}

fn fits(_: &Entry) -> Result<(), StoreError> {
    Ok(())
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Take(u8),
    TakeAsAnother(u8),
    Restart,
    /// A crash after the file was written and before the ledger knew.
    Orphan(u8),
    /// The file of a bundle vanishes.
    Lose(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..6u8;
    prop_oneof![
        number.clone().prop_map(Step::Add),
        number.clone().prop_map(Step::Take),
        number.clone().prop_map(Step::TakeAsAnother),
        Just(Step::Restart),
        number.clone().prop_map(Step::Orphan),
        number.prop_map(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_bundle_is_handed_out_twice(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        let mut contents: HashMap<u8, Vec<u8>> = HashMap::new();
        let mut out: HashSet<u8> = HashSet::new();
        let path = |n: u8| dir.path().join(format!("{}.bundle", id(n)));
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Add(n) => {
                    let bytes = vec![at as u8; 10 + at];
                    let added = store.add(&id(n), &entry("peer"), &bytes);
                    if let std::collections::hash_map::Entry::Vacant(new) = contents.entry(n) {
                        prop_assert!(added.is_ok());
                        new.insert(bytes);
                    } else {
                        let duplicate = matches!(added, Err(StoreError::Duplicate { .. }));
                        prop_assert!(duplicate);
                    }
                }
                Step::Take(n) => {
                    let taken = store.take(&id(n), "peer", fits);
                    if let Ok((_, bytes)) = taken {
                        prop_assert!(out.insert(n), "handed out twice");
                        prop_assert_eq!(&*bytes, &contents[&n]);
                        prop_assert!(!path(n).exists());
                    }
                }
                Step::TakeAsAnother(n) => {
                    prop_assert!(store.take(&id(n), "another", fits).is_err());
                }
                Step::Restart => {
                    drop(store);
                    store = open(dir.path());
                }
                Step::Orphan(n) => {
                    if !contents.contains_key(&n) || out.contains(&n) {
                        std::fs::write(path(n), b"orphan").expect("it writes");
                        drop(store);
                        store = open(dir.path());
                        prop_assert!(!path(n).exists());
                    }
                }
                Step::Lose(n) => {
                    // There may be none.
                    let _ = std::fs::remove_file(path(n));
                }
            }
        }
    }
}

#[test]
fn declining_does_not_spend() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.add(&id(1), &entry("peer"), b"secret").unwrap();
    let unknown = |_: &Entry| Err(StoreError::Unknown { id: id(9) });
    assert!(store.take(&id(1), "peer", unknown).is_err());
    assert!(matches!(store.take(&id(1), "another", fits), Err(StoreError::NotOwner { .. })));
    assert_eq!(&**store.take(&id(1), "peer", fits).unwrap().1, b"secret");
    assert!(matches!(store.take(&id(1), "peer", fits), Err(StoreError::Spent { .. })));
    assert!(matches!(store.take(&id(2), "peer", fits), Err(StoreError::Unknown { .. })));
}

#[cfg(unix)]
#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let store = open(&state);
    store.add(&id(1), &entry("peer"), b"secret").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for file in std::fs::read_dir(&state).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}
