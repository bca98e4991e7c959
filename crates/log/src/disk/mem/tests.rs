//! The disk of the tests is tested.

use super::*;

fn write(disk: &MemDisk, path: &str, position: u64, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
    file.write_vectored_at(&[IoSlice::new(bytes)], position).unwrap();
    file
}

#[test]
fn what_was_synced_with_its_name_survives_every_crash() {
    for seed in 0..200 {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let file = write(&disk, "/d/a", 0, &[7; 2000]);
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        write(&disk, "/d/a", 2000, &[8; 2000]);
        let after = disk.crash(seed).read_all(Path::new("/d/a")).unwrap();
        assert_eq!(after[..2000], [7; 2000]);
        assert!(after[2000..].iter().all(|b| *b == 8 || *b == 0));
    }
}

#[test]
fn a_folder_is_renamed_with_what_is_in_it() {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new("/d/a")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    write(&disk, "/d/a/f", 0, b"x").sync_data().unwrap();
    disk.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
    assert!(disk.read_all(Path::new("/d/a/f")).is_err());
    assert_eq!(disk.read_all(Path::new("/d/b/f")).unwrap(), b"x");
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/d/b")).unwrap();
    assert_eq!(disk.crash(1).read_all(Path::new("/d/b/f")).unwrap(), b"x");
}

#[test]
fn what_was_not_synced_is_torn_dropped_and_kept_by_turns() {
    let (mut whole, mut torn, mut gone) = (0, 0, 0);
    for seed in 0..400 {
        let disk = MemDisk::new();
        write(&disk, "/a", 0, &[7; 1024]);
        match disk.crash(seed).read_all(Path::new("/a")) {
            Ok(bytes) if bytes == [7; 1024] => whole += 1,
            Ok(_) => torn += 1,
            Err(_) => gone += 1,
        }
    }
    assert!(torn > 50 && gone > 50, "{whole} {torn} {gone}");
    // Whole is rare, as the length must be the last of 1025.
    let disk = MemDisk::new();
    write(&disk, "/a", 0, b"x");
    assert_eq!(disk.kill().read_all(Path::new("/a")).unwrap(), b"x");
}

#[test]
fn an_atomic_write_leaves_the_old_or_the_new_wherever_it_is_cut() {
    let path = Path::new("/f");
    let mut calls = 0;
    loop {
        let disk = MemDisk::new();
        disk.write_atomic(path, &[1; 700]).unwrap();
        let before = disk.calls();
        disk.set_fault(Some(Fault::Halt { call: before + calls }));
        let outcome = disk.write_atomic(path, &[2; 900]);
        for seed in 0..50 {
            let copy = disk.fork();
            let found = copy.crash(seed).read_all(path).unwrap();
            assert!(found == [1; 700] || found == [2; 900], "torn at call {calls}, seed {seed}");
            assert!(outcome.is_err() || found == [2; 900]);
        }
        if outcome.is_ok() {
            break;
        }
        calls += 1;
    }
    assert!(calls >= 6);
}
