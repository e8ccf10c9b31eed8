//! The network and the images of the demonstration, part of the program.

/// A network for handwritten digits, an ONNX file.
pub const NETWORK: &[u8] = include_bytes!("../../../assets/demo.onnx");

/// A drawn digit of each kind, PNG files.
pub const DIGITS: [&[u8]; 10] = [
    include_bytes!("../../../assets/samples/0.png"),
    include_bytes!("../../../assets/samples/1.png"),
    include_bytes!("../../../assets/samples/2.png"),
    include_bytes!("../../../assets/samples/3.png"),
    include_bytes!("../../../assets/samples/4.png"),
    include_bytes!("../../../assets/samples/5.png"),
    include_bytes!("../../../assets/samples/6.png"),
    include_bytes!("../../../assets/samples/7.png"),
    include_bytes!("../../../assets/samples/8.png"),
    include_bytes!("../../../assets/samples/9.png"),
];
