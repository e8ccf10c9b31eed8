//! A folder with the demo network and images, and the program to run on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The demo network.
pub const DEMO: &[u8] = include_bytes!("../../../../assets/demo.onnx");

/// A temporary folder with the demo network.
pub struct Bench {
    dir: TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("demo.onnx"), DEMO).unwrap();
        Bench { dir }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    /// A grey image that is different for every seed.
    pub fn image(&self, name: &str, side: u32, seed: u32) {
        let pixel = |x: u32, y: u32| {
            let stroke = ((x * (3 + seed) + y * (7 + 2 * seed)) / 24).is_multiple_of(3);
            let centre = x.abs_diff(side / 2) + y.abs_diff(side / 2) < side / 2;
            image::Luma([if stroke && centre { 255 } else { 0 }])
        };
        image::GrayImage::from_fn(side, side, pixel).save(self.path(name)).unwrap();
    }

    /// The program with arguments, run in the folder. Its temporary files go there as well.
    pub fn command(&self, args: &str) -> Command {
        std::fs::create_dir_all(self.path("tmp")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushwire"));
        command
            .args(args.split_whitespace())
            .current_dir(self.dir())
            .env("TMPDIR", self.path("tmp"));
        command
    }

    pub fn run(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a run that must succeed.
    pub fn text(&self, args: &str) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "hushwire {args}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one JSON object that a run must print.
    pub fn json(&self, args: &str) -> Value {
        let text = self.text(&format!("{args} --json"));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(value.is_object(), "{text}");
        value
    }

    /// What a run that must fail says; its exit code is `code`.
    pub fn error(&self, args: &str, code: i32) -> String {
        let output = self.run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "hushwire {args}: {error}");
        error
    }

    /// Processes that have this folder in their command line.
    pub fn processes(&self) -> Vec<String> {
        let folder = self.dir().display().to_string();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).replace('\0', " "))
        });
        lines.filter(|line| line.contains(&folder)).collect()
    }

    /// Names in the program's folder for temporary files.
    pub fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("tmp")).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// An MNIST test set of `count` generated images.
    pub fn mnist(&self, count: u32) {
        let mut images = vec![0, 0, 8, 3];
        let mut labels = vec![0, 0, 8, 1];
        images.extend([count, 28, 28].into_iter().flat_map(u32::to_be_bytes));
        labels.extend(count.to_be_bytes());
        for i in 0..count {
            self.image("scratch.png", 28, i);
            images.extend(image::open(self.path("scratch.png")).unwrap().to_luma8().as_raw());
            labels.push((i % 10) as u8);
        }
        self.write("t10k-images-idx3-ubyte", images);
        self.write("t10k-labels-idx1-ubyte", labels);
    }
}

/// Whether all these keys are there.
pub fn assert_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "no {key} in {value}");
    }
}
