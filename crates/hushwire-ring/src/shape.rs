//! The shape of a two-dimensional convolution.

/// A two-dimensional convolution of one sample, weights OIHW and activations CHW.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Channels of the input, a multiple of `groups`.
    pub in_channels: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Channels of the output, a multiple of `groups`.
    pub out_channels: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Steps between outputs, rows and columns.
    pub stride: [usize; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Steps between taps, rows and columns.
    pub dilation: [usize; 2],
    /// Groups of channels that do not mix.
    pub groups: usize,
}

impl ConvShape {
    /// Rows of the output; zero if the padded input is smaller than the kernel.
    #[must_use]
    pub fn out_h(&self) -> usize {
        self.out_len(0, self.in_h + self.pads[0] + self.pads[2])
    }

    /// Columns of the output; zero if the padded input is smaller than the kernel.
    #[must_use]
    pub fn out_w(&self) -> usize {
        self.out_len(1, self.in_w + self.pads[1] + self.pads[3])
    }

    fn out_len(&self, axis: usize, padded: usize) -> usize {
        let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        if padded < reach { 0 } else { (padded - reach) / self.stride[axis] + 1 }
    }

    /// Number of weights, `out_channels * in_channels / groups * kernel`.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.depth()
    }

    /// Elements of one input sample.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.in_channels * self.in_h * self.in_w
    }

    /// Elements of one output sample.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.out_channels * self.out_h() * self.out_w()
    }

    /// Multiplications of one sample, those with padding included.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.output_len() as u64 * self.depth() as u64
    }

    /// Products that one output sums.
    pub(crate) fn depth(&self) -> usize {
        self.in_channels / self.groups * self.kernel[0] * self.kernel[1]
    }

    /// Panics unless the shape is one that the kernels compute.
    pub(crate) fn check(&self) {
        assert!(self.groups > 0, "no groups");
        assert!(
            self.in_channels.is_multiple_of(self.groups)
                && self.out_channels.is_multiple_of(self.groups),
            "{} and {} channels in {} groups",
            self.in_channels,
            self.out_channels,
            self.groups,
        );
        assert!(self.kernel[0] > 0 && self.kernel[1] > 0, "empty kernel");
        assert!(self.stride[0] > 0 && self.stride[1] > 0, "zero stride");
        assert!(self.dilation[0] > 0 && self.dilation[1] > 0, "zero dilation");
    }
}
