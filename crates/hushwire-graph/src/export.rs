//! Models to ONNX files.

use prost::Message;

use crate::import::protobuf::{
    AttributeProto, Dimension, Extent, GraphProto, ModelProto, NodeProto, OperatorSetId, Property,
    TensorProto, TensorShape, TensorType, TypeProto, ValueInfo, data_type,
};
use crate::{
    Activation, Conv, Coordinates, Gemm, Interpolation, Model, NearestRounding, Node, NodeId, Op,
    OutputKind, ParamId, Polynomial, Pool, Resize, Shape,
};

/// The operator set written; activations that came later are spelled out.
const OPSET: i64 = 17;

impl Model {
    /// The model as an ordinary ONNX file of operator set 17 with a batch of any size. Nodes keep
    /// their names, and reading the file gives the same model.
    pub fn to_onnx(&self) -> Vec<u8> {
        let mut writer = Writer { model: self, proto: GraphProto::default() };
        writer.proto.name = "network".to_owned();
        for (id, node) in self.graph.iter() {
            writer.write(id, node);
        }
        let output = writer.write_output();
        let (input_shape, output_shape) = (self.graph.input_shape(), self.graph.output_shape());
        writer.proto.input.push(value_info(&self.graph.node(self.graph.input).name, input_shape));
        let mut result = value_info(&output, output_shape);
        if self.graph.output_kind == OutputKind::ArgMax {
            result.value_type = None;
        }
        writer.proto.output.push(result);
        let properties = self.graph.metadata.to_properties().into_iter();
        let model = ModelProto {
            ir_version: 8,
            producer_name: "hushwire".to_owned(),
            graph: Some(writer.proto),
            opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
            metadata_props: properties.map(|(key, value)| Property { key, value }).collect(),
        };
        model.encode_to_vec()
    }
}

fn value_info(name: &str, shape: &Shape) -> ValueInfo {
    let batch = Dimension { extent: Some(Extent::Param("N".to_owned())) };
    let fixed = shape.0.iter().map(|e| Dimension { extent: Some(Extent::Value(*e as i64)) });
    let shape = TensorShape { dim: std::iter::once(batch).chain(fixed).collect() };
    let tensor_type = Some(TensorType { elem_type: data_type::FLOAT, shape: Some(shape) });
    ValueInfo { name: name.to_owned(), value_type: Some(TypeProto { tensor_type }) }
}

struct Writer<'m> {
    model: &'m Model,
    proto: GraphProto,
}

impl Writer<'_> {
    /// A node's value has the node's name.
    fn write(&mut self, id: NodeId, node: &Node) {
        let inputs: Vec<String> =
            node.inputs.iter().map(|i| self.model.graph.node(*i).name.clone()).collect();
        match &node.op {
            Op::Input => {}
            Op::Conv(conv) => self.conv(node, inputs, conv),
            Op::Gemm(Gemm { weight, bias }) => {
                let names = self.params(inputs, [Some(*weight), *bias]);
                self.node("Gemm", names, &node.name, vec![int("transB", 1)]);
            }
            Op::Affine { scale, shift } => self.affine(node, inputs, *scale, *shift),
            Op::Activation(activation) => self.activation(id, node, inputs, *activation),
            Op::MaxPool(pool) => self.node("MaxPool", inputs, &node.name, pool_attributes(pool)),
            Op::AveragePool(pool) => {
                let mut attributes = pool_attributes(pool);
                attributes.push(int("count_include_pad", pool.count_include_pad.into()));
                self.node("AveragePool", inputs, &node.name, attributes);
            }
            Op::Add | Op::Sub => self.node(node.op.kind(), inputs, &node.name, Vec::new()),
            Op::Concat { axis } => {
                self.node("Concat", inputs, &node.name, vec![int("axis", *axis as i64 + 1)]);
            }
            Op::Pad { before, after, value } => {
                let sides = [before, after].map(|s| std::iter::once(0).chain(numbers(s)));
                let pads: Vec<i64> = sides.into_iter().flatten().collect();
                let names = [self.ints(node, "pads", pads), self.number(node, "value", *value)];
                self.node("Pad", with(inputs, names), &node.name, Vec::new());
            }
            Op::Slice { start, step, len } => {
                let last = start.iter().zip(step).zip(len).map(|((s, step), n)| s + (n - 1) * step);
                let ends: Vec<i64> = last.map(|last| last as i64 + 1).collect();
                let axes = (1..=start.len() as i64).collect();
                let names = [
                    self.ints(node, "starts", numbers(start).collect()),
                    self.ints(node, "ends", ends),
                    self.ints(node, "axes", axes),
                    self.ints(node, "steps", numbers(step).collect()),
                ];
                self.node("Slice", with(inputs, names), &node.name, Vec::new());
            }
            Op::Reshape => {
                let shape = std::iter::once(0).chain(numbers(&node.shape.0)).collect();
                let names = [self.ints(node, "shape", shape)];
                self.node("Reshape", with(inputs, names), &node.name, Vec::new());
            }
            Op::Transpose { perm } => {
                let perm = std::iter::once(0).chain(perm.iter().map(|axis| *axis as i64 + 1));
                self.node("Transpose", inputs, &node.name, vec![ints("perm", perm)]);
            }
            Op::Resize(resize) => self.resize(node, inputs, resize),
        }
    }

    /// Softmax or ArgMax behind the graph's output; the name of the file's output.
    fn write_output(&mut self) -> String {
        let graph = &self.model.graph;
        let last = graph.node(graph.output).name.clone();
        let (operator, attributes) = match graph.output_kind {
            OutputKind::Logits => return last,
            OutputKind::Softmax => ("Softmax", vec![int("axis", 1)]),
            OutputKind::ArgMax => ("ArgMax", vec![int("axis", 1), int("keepdims", 0)]),
        };
        let name = format!("{last}/{operator}");
        self.node(operator, vec![last], &name, attributes);
        name
    }

    fn conv(&mut self, node: &Node, inputs: Vec<String>, conv: &Conv) {
        let kernel = &self.model.params[conv.weight].shape[2..];
        let attributes = vec![
            ints("kernel_shape", numbers(kernel)),
            ints("strides", numbers(&conv.stride)),
            ints("pads", numbers(&conv.pads)),
            ints("dilations", numbers(&conv.dilation)),
            int("group", conv.groups as i64),
        ];
        let names = self.params(inputs, [Some(conv.weight), conv.bias]);
        self.node("Conv", names, &node.name, attributes);
    }

    /// Mul and Add; one node if it is one of them.
    fn affine(
        &mut self,
        node: &Node,
        inputs: Vec<String>,
        scale: Option<ParamId>,
        shift: Option<ParamId>,
    ) {
        let scale = scale.map(|id| self.coefficient(id, &node.shape));
        let shift = shift.map(|id| self.coefficient(id, &node.shape));
        match (scale, shift) {
            (None, None) => self.node("Identity", inputs, &node.name, Vec::new()),
            (Some(scale), None) => self.node("Mul", with(inputs, [scale]), &node.name, Vec::new()),
            (None, Some(shift)) => self.node("Add", with(inputs, [shift]), &node.name, Vec::new()),
            (Some(scale), Some(shift)) => {
                let (product, sum) =
                    (format!("{}/product", node.name), format!("{}/sum", node.name));
                self.node("Mul", with(inputs, [scale]), &product, Vec::new());
                self.node("Add", vec![product, shift], &node.name, Vec::new());
                // Readers that merge the two keep the first one's name.
                if let [.., first, second] = &mut self.proto.node[..] {
                    (first.name, second.name) = (node.name.clone(), sum);
                }
            }
        }
    }

    fn activation(&mut self, id: NodeId, node: &Node, inputs: Vec<String>, activation: Activation) {
        let name = node.name.as_str();
        match activation {
            Activation::Relu
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::HardSwish
            | Activation::Exp
            | Activation::Softplus => self.node(activation.name(), inputs, name, Vec::new()),
            Activation::LeakyRelu { alpha } => {
                self.node("LeakyRelu", inputs, name, vec![float("alpha", alpha)]);
            }
            Activation::Clip { min, max } => {
                let bounds = [self.number(node, "min", min), self.number(node, "max", max)];
                self.node("Clip", with(inputs, bounds), name, Vec::new());
            }
            Activation::Silu => {
                let gate = format!("{name}/gate");
                self.node("Sigmoid", inputs.clone(), &gate, Vec::new());
                self.node("Mul", with(inputs, [gate]), name, Vec::new());
            }
            Activation::Mish => {
                let [softplus, gate] = ["softplus", "gate"].map(|part| format!("{name}/{part}"));
                self.node("Softplus", inputs.clone(), &softplus, Vec::new());
                self.node("Tanh", vec![softplus], &gate, Vec::new());
                self.node("Mul", with(inputs, [gate]), name, Vec::new());
            }
            Activation::Square => {
                self.node("Mul", with(inputs.clone(), inputs), name, Vec::new());
            }
            Activation::Gelu | Activation::GeluTanh => self.gelu(id, inputs, activation),
            Activation::Polynomial(polynomial) => self.polynomial(node, inputs, &polynomial),
        }
    }

    /// By Horner's rule, `(c3 * x + c2) * x + c1 ...`; factors of 1 and summands of 0 are left out.
    fn polynomial(&mut self, node: &Node, x: Vec<String>, polynomial: &Polynomial) {
        let mut steps = Vec::new();
        for (power, c) in polynomial.coefficients().iter().enumerate().rev() {
            // The first product is that of the leading coefficient and x.
            if power == polynomial.degree() {
                steps.extend((*c != 1.0).then_some(("Mul", power, Some(*c))));
                continue;
            }
            if power + 1 < polynomial.degree() {
                steps.push(("Mul", power, None));
            }
            steps.extend((*c != 0.0).then_some(("Add", power, Some(*c))));
        }
        let mut last = x.clone();
        for (i, (operator, power, constant)) in steps.iter().enumerate() {
            let other = match constant {
                Some(c) => self.number(node, &format!("c{power}"), *c),
                None => x[0].clone(),
            };
            let name = match i + 1 == steps.len() {
                true => node.name.clone(),
                false => format!("{}/{operator}{power}", node.name),
            };
            self.node(operator, with(last, [other]), &name, Vec::new());
            last = vec![name];
        }
    }

    /// `x / 2 * (1 + f(inner))`
    fn gelu(&mut self, id: NodeId, x: Vec<String>, activation: Activation) {
        let node = self.model.graph.node(id);
        let part = |part: &str| format!("{}/{part}", node.name);
        let outer = if activation == Activation::Gelu {
            let factor = self.number(node, "factor", std::f32::consts::FRAC_1_SQRT_2);
            self.node("Mul", with(x.clone(), [factor]), &part("inner"), Vec::new());
            "Erf"
        } else {
            let three = self.number(node, "three", 3.0);
            let cubic = self.number(node, "cubic", 0.044715);
            let factor = self.number(node, "factor", (2.0 / std::f32::consts::PI).sqrt());
            self.node("Pow", with(x.clone(), [three]), &part("cube"), Vec::new());
            self.node("Mul", vec![part("cube"), cubic], &part("term"), Vec::new());
            self.node("Add", with(x.clone(), [part("term")]), &part("sum"), Vec::new());
            self.node("Mul", vec![part("sum"), factor], &part("inner"), Vec::new());
            "Tanh"
        };
        let (one, half) = (self.number(node, "one", 1.0), self.number(node, "half", 0.5));
        self.node(outer, vec![part("inner")], &part("outer"), Vec::new());
        self.node("Add", vec![part("outer"), one], &part("gate"), Vec::new());
        self.node("Mul", with(x, [half]), &part("halved"), Vec::new());
        self.node("Mul", vec![part("halved"), part("gate")], &node.name, Vec::new());
    }

    fn resize(&mut self, node: &Node, inputs: Vec<String>, resize: &Resize) {
        let coordinates = match resize.coordinates {
            Coordinates::HalfPixel => "half_pixel",
            Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
            Coordinates::AlignCorners => "align_corners",
            Coordinates::Asymmetric => "asymmetric",
        };
        let mut attributes = vec![text("coordinate_transformation_mode", coordinates)];
        match resize.interpolation {
            Interpolation::Linear => attributes.push(text("mode", "linear")),
            Interpolation::Nearest(rounding) => {
                let rounding = match rounding {
                    NearestRounding::RoundPreferFloor => "round_prefer_floor",
                    NearestRounding::RoundPreferCeil => "round_prefer_ceil",
                    NearestRounding::Floor => "floor",
                    NearestRounding::Ceil => "ceil",
                };
                attributes.extend([text("mode", "nearest"), text("nearest_mode", rounding)]);
            }
        }
        let [vertical, horizontal] = resize.scales;
        let name = format!("{}.scales", node.name);
        self.floats(&name, vec![4], &[1.0, 1.0, vertical, horizontal]);
        self.node("Resize", with(inputs, [String::new(), name]), &node.name, attributes);
    }

    fn node(
        &mut self,
        operator: &str,
        input: Vec<String>,
        name: &str,
        attribute: Vec<AttributeProto>,
    ) {
        self.proto.node.push(NodeProto {
            input,
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute,
            domain: String::new(),
        });
    }

    /// Writes parameters under their own names and appends these to `inputs`.
    fn params(
        &mut self,
        inputs: Vec<String>,
        params: impl IntoIterator<Item = Option<ParamId>>,
    ) -> Vec<String> {
        let model = self.model;
        let names: Vec<String> = params
            .into_iter()
            .flatten()
            .map(|id| {
                let (info, tensor) = (&model.graph.params[id.0], &model.params[id]);
                let dims = info.dims.iter().map(|d| *d as i64).collect();
                self.floats(&info.name, dims, &tensor.data);
                info.name.clone()
            })
            .collect();
        with(inputs, names)
    }

    /// Writes a coefficient with the axes that make it broadcast as meant.
    fn coefficient(&mut self, id: ParamId, shape: &Shape) -> String {
        let (info, tensor) = (&self.model.graph.params[id.0], &self.model.params[id]);
        let mut dims: Vec<i64> = numbers(&info.dims).collect();
        dims.resize(shape.rank(), 1);
        self.floats(&info.name, dims, &tensor.data);
        info.name.clone()
    }

    fn floats(&mut self, name: &str, dims: Vec<i64>, data: &[f32]) {
        self.proto.initializer.push(TensorProto {
            name: name.to_owned(),
            dims,
            data_type: data_type::FLOAT,
            raw_data: data.iter().flat_map(|x| x.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
    }

    fn number(&mut self, node: &Node, role: &str, value: f32) -> String {
        let name = format!("{}.{role}", node.name);
        self.floats(&name, Vec::new(), &[value]);
        name
    }

    fn ints(&mut self, node: &Node, role: &str, values: Vec<i64>) -> String {
        let name = format!("{}.{role}", node.name);
        self.proto.initializer.push(TensorProto {
            name: name.clone(),
            dims: vec![values.len() as i64],
            data_type: data_type::INT64,
            int64_data: values,
            ..TensorProto::default()
        });
        name
    }
}

fn pool_attributes(pool: &Pool) -> Vec<AttributeProto> {
    vec![
        ints("kernel_shape", numbers(&pool.kernel)),
        ints("strides", numbers(&pool.stride)),
        ints("pads", numbers(&pool.pads)),
    ]
}

fn with(mut inputs: Vec<String>, more: impl IntoIterator<Item = String>) -> Vec<String> {
    inputs.extend(more);
    inputs
}

/// Sizes as ONNX's integers; valid graphs have none that do not fit.
fn numbers(values: &[usize]) -> impl Iterator<Item = i64> {
    values.iter().map(|v| *v as i64)
}

// The kinds are the numbers of AttributeProto.AttributeType.

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f, kind: 1, ..AttributeProto::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i, kind: 2, ..AttributeProto::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    let s = s.as_bytes().to_vec();
    AttributeProto { name: name.to_owned(), s, kind: 3, ..AttributeProto::default() }
}

fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> AttributeProto {
    let ints = values.into_iter().collect();
    AttributeProto { name: name.to_owned(), ints, kind: 7, ..AttributeProto::default() }
}
