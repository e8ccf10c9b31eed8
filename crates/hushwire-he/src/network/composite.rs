//! Composite polynomials in normal form.

use hushwire_graph::Node;
use hushwire_minimax::{Arithmetic, Circuit};
use hushwire_plan::PolynomialGate;

use super::Product;
use super::build::{Build, Form, scaled, sum};

/// Forms as what circuits compute with: sums stay part of the affine map that is read next, products
/// are values of their own.
struct Forms<'b, 'a> {
    build: &'b mut Build<'a>,
    node: &'b Node,
    /// Values made so far, for their names.
    made: usize,
}

impl Build<'_> {
    /// x (1 + s(x / range)) / 2 with the stages' circuits.
    pub(super) fn composite(
        &mut self,
        node: &Node,
        form: Form,
        gate: &PolynomialGate,
    ) -> Result<Form, String> {
        let sign = gate.sign().map_err(|e| e.to_string())?;
        let mut forms = Forms { build: self, node, made: 0 };
        // What the first stage reads is x itself but for its size, which the last product restores.
        let mut size = gate.range;
        let mut argument = form;
        let mut x = None;
        for stage in sign.stages() {
            let circuit = Circuit::new(stage.degree()).map_err(|e| e.to_string())?;
            size = if x.is_none() { size * stage.bound() } else { stage.bound() };
            let bounded = forms.scale(&argument, 1.0 / size);
            // A stage's argument is a value: all its powers begin with it.
            let bounded = forms.value(bounded);
            argument = circuit.evaluate(stage.coefficients(), &bounded, &mut forms);
            x.get_or_insert((bounded, size));
        }
        let (x, size) = x.ok_or_else(|| "its polynomial has no stages".to_owned())?;
        let half = forms.scale(&argument, 0.5 * size);
        let half = forms.add_constant(&half, 0.5 * size);
        Ok(forms.multiply(&half, &x))
    }
}

impl Forms<'_, '_> {
    fn value(&mut self, form: Form) -> Form {
        if form.as_value().is_some() { form } else { self.push(form, Product::None) }
    }

    /// A value of its own, under a name of its own.
    fn push(&mut self, form: Form, product: Product) -> Form {
        self.made += 1;
        let name = format!("{}.{}", self.node.name, self.made);
        Form::of_value(self.build.push(self.node, &name, form, product), self.node.shape.len())
    }
}

impl Arithmetic for Forms<'_, '_> {
    type Value = Form;

    fn multiply(&mut self, a: &Form, b: &Form) -> Form {
        // The second factor has to be a value, unless both are the same; the first may be any form.
        let same = std::ptr::eq(a, b);
        let (a, b) = if b.as_value().is_some() { (a, b) } else { (b, a) };
        let product = match (a.as_value(), b.as_value()) {
            _ if same => Product::Square,
            (Some(a), Some(b)) if a == b => Product::Square,
            (_, Some(b)) => Product::With(b),
            (_, None) => match self.value(b.clone()).as_value() {
                Some(b) => Product::With(b),
                None => unreachable!("a form becomes a value"),
            },
        };
        self.push(a.clone(), product)
    }

    fn scale(&mut self, a: &Form, c: f64) -> Form {
        let len = self.node.shape.len();
        match a.as_value() {
            Some(value) => scaled(value, len, c, 0.0),
            None => a.scaled(c, len),
        }
    }

    fn add(&mut self, a: &Form, b: &Form) -> Form {
        sum(a, b, 1.0, &self.build.values)
    }

    fn subtract(&mut self, a: &Form, b: &Form) -> Form {
        sum(a, b, -1.0, &self.build.values)
    }

    fn add_constant(&mut self, a: &Form, c: f64) -> Form {
        let mut form = a.clone();
        form.bias.iter_mut().for_each(|b| *b += c as f32);
        form
    }
}
