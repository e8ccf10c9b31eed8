//! A small writer of ONNX files for tests.

use prost::Message;

use crate::import::protobuf::{
    AttributeProto, Dimension, Extent, GraphProto, ModelProto, NodeProto, OperatorSetId, Property,
    TensorProto, TensorShape, TensorType, TypeProto, ValueInfo, data_type,
};

/// A file under construction, with the one input `input`.
///
/// Nodes are named after their output, so that a value and the node that computes it share a name.
pub struct OnnxBuilder {
    graph: GraphProto,
    opset: i64,
    metadata: Vec<Property>,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Attribute<'a> {
    /// A number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// A list of integers.
    Ints(&'a [i64]),
    /// Text.
    Text(&'a str),
}

impl OnnxBuilder {
    /// A file of operator set 17 whose input has the given shape after a batch of any size.
    pub fn new(input: &[i64]) -> Self {
        let batch = Dimension { extent: Some(Extent::Param("N".to_owned())) };
        let fixed = input.iter().map(|e| Dimension { extent: Some(Extent::Value(*e)) });
        let shape = TensorShape { dim: std::iter::once(batch).chain(fixed).collect() };
        let input = ValueInfo {
            name: "input".to_owned(),
            value_type: Some(TypeProto {
                tensor_type: Some(TensorType { elem_type: data_type::FLOAT, shape: Some(shape) }),
            }),
        };
        let graph = GraphProto { input: vec![input], ..GraphProto::default() };
        Self { graph, opset: 17, metadata: Vec::new() }
    }

    /// Another operator set.
    #[must_use]
    pub fn opset(mut self, version: i64) -> Self {
        self.opset = version;
        self
    }

    /// A metadata property.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.metadata.push(Property { key: key.to_owned(), value: value.to_owned() });
        self
    }

    /// A constant of type float.
    #[must_use]
    pub fn floats(mut self, name: &str, dims: &[i64], data: &[f32]) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: data_type::FLOAT,
            raw_data: data.iter().flat_map(|x| x.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        self
    }

    /// A constant vector of type int64.
    #[must_use]
    pub fn ints(mut self, name: &str, data: &[i64]) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: vec![data.len() as i64],
            data_type: data_type::INT64,
            int64_data: data.to_vec(),
            ..TensorProto::default()
        });
        self
    }

    /// A node; `output` names its value and itself.
    #[must_use]
    pub fn node(self, operator: &str, inputs: &[&str], output: &str) -> Self {
        self.node_with(operator, inputs, output, &[])
    }

    /// A node with attributes.
    #[must_use]
    pub fn node_with(
        mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) -> Self {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
            domain: String::new(),
        });
        self
    }

    /// The bytes of the file, with the given value as its output.
    pub fn build(mut self, output: &str) -> Vec<u8> {
        self.graph.output.push(ValueInfo { name: output.to_owned(), value_type: None });
        let opset = OperatorSetId { domain: String::new(), version: self.opset };
        let model = ModelProto {
            ir_version: 8,
            producer_name: "test".to_owned(),
            graph: Some(self.graph),
            opset_import: vec![opset],
            metadata_props: self.metadata,
        };
        model.encode_to_vec()
    }
}

fn attribute(name: &str, value: &Attribute<'_>) -> AttributeProto {
    let mut proto = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    // The types' numbers are those of AttributeProto.AttributeType.
    match value {
        Attribute::Float(f) => (proto.f, proto.kind) = (*f, 1),
        Attribute::Int(i) => (proto.i, proto.kind) = (*i, 2),
        Attribute::Text(s) => (proto.s, proto.kind) = (s.as_bytes().to_vec(), 3),
        Attribute::Ints(ints) => (proto.ints, proto.kind) = (ints.to_vec(), 7),
    }
    proto
}
