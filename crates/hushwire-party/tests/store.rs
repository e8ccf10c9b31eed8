//! The ledger hands a bundle out once, whatever the order of events.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use hushwire_mpc::{Comparison, Sink, Source};
use hushwire_party::{BundleId, Disk, Entry, Hash, State, Store, StoreError, Taken};
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

fn add(store: &Store, id: &BundleId, entry: &Entry, bytes: &[u8]) -> Result<(), StoreError> {
    let mut writer = store.writer(id)?;
    for record in bytes.chunks(7) {
        writer.put(record).expect("there is room");
    }
    store.add(writer, entry)
}

/// All the bytes of a bundle that was taken.
fn read(mut taken: Taken) -> Vec<u8> {
    std::iter::from_fn(|| taken.take(1).ok()).flat_map(|byte| byte.to_vec()).collect()
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
                    let added = add(&store, &id(n), &entry("peer"), &bytes);
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
                        prop_assert_eq!(&read(bytes), &contents[&n]);
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
    add(&store, &id(1), &entry("peer"), b"secret").unwrap();
    let unknown = |_: &Entry| Err(StoreError::Unknown { id: id(9) });
    assert!(store.take(&id(1), "peer", unknown).is_err());
    assert!(matches!(store.take(&id(1), "another", fits), Err(StoreError::NotOwner { .. })));
    assert_eq!(read(store.take(&id(1), "peer", fits).unwrap().1), b"secret");
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
    add(&store, &id(1), &entry("peer"), b"secret").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for file in std::fs::read_dir(&state).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn processes_share_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let shared = || Store::shared(dir.path(), Arc::new(Disk)).expect("the store opens");
    let (first, second) = (shared(), shared());
    assert_eq!(first.name(), second.name());
    let mut under_way = first.writer(&id(1)).unwrap();
    under_way.put(b"half").unwrap();
    // Whoever comes now sees that it is being written, and leaves it alone.
    let third = shared();
    assert_eq!(third.under_way().unwrap(), [id(1)]);
    assert!(second.ready().unwrap().is_empty());
    under_way.put(b" a bundle").unwrap();
    first.add(under_way, &entry("peer")).unwrap();
    assert!(third.under_way().unwrap().is_empty());
    assert_eq!(second.ready().unwrap().len(), 1);
    // Many want it, one gets it.
    let taken: usize = std::thread::scope(|scope| {
        let take = |store: Store| store.take(&id(1), "peer", fits).is_ok() as usize;
        let all: Vec<_> = (0..8).map(|_| scope.spawn(move || take(shared()))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 1);
    assert!(matches!(second.take(&id(1), "peer", fits), Err(StoreError::Spent { .. })));
}

#[test]
fn what_is_not_added_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.writer(&id(1)).unwrap();
    writer.put(&[7; 3 << 20]).unwrap();
    drop(writer);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(left, [dir.path().join("ledger.redb")]);
}
