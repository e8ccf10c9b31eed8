use fastrand::Rng;

/// A point in pixels or in a design's units, x to the right and y downward.
pub(crate) type Point = [f32; 2];

/// Side of the images.
pub(crate) const SIDE: usize = 28;
/// Side of the box a digit fills, as in MNIST.
const BOX: f32 = 20.0;
/// Radius of the round pen in pixels.
const RADIUS: f32 = 1.35;
/// Straight pieces a curve between two points is drawn with.
const PIECES: usize = 12;

/// One movement of the pen.
pub(crate) enum Stroke {
    /// Straight from point to point.
    Lines(&'static [Point]),
    /// A smooth curve through the points; one that ends where it began is closed smoothly.
    Curve(&'static [Point]),
}

/// Draws strokes white on black into 28 x 28 pixels, scaled to a box of 20 pixels with the centre
/// of mass in the middle. The seed determines slant, turn and waviness.
pub(crate) fn draw(strokes: &[Stroke], rng: &mut Rng) -> Vec<u8> {
    let mut lines: Vec<Vec<Point>> = strokes.iter().map(Stroke::flatten).collect();
    distort(&mut lines, rng);
    fit(&mut lines);
    let pixels = render(&lines);
    let [x, y] = center_of_mass(&pixels);
    let middle = SIDE as f32 / 2.0;
    each_point(&mut lines, |[px, py]| [px + middle - x, py + middle - y]);
    render(&lines)
}

impl Stroke {
    fn flatten(&self) -> Vec<Point> {
        match self {
            Self::Lines(points) => points.to_vec(),
            Self::Curve(points) => catmull_rom(points),
        }
    }
}

/// A Catmull-Rom spline as straight pieces.
fn catmull_rom(points: &[Point]) -> Vec<Point> {
    let n = points.len();
    let closed = points.first() == points.last();
    let at = |i: isize| match i {
        -1 if closed => points[n - 2],
        i if i as usize == n && closed => points[1],
        i => points[i.clamp(0, n as isize - 1) as usize],
    };
    let mut line = vec![points[0]];
    for i in 0..n as isize - 1 {
        let [p0, p1, p2, p3] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
        line.extend((1..=PIECES).map(|k| {
            let t = k as f32 / PIECES as f32;
            [0, 1].map(|a| {
                let (v0, v1, v2, v3) = (p0[a], p1[a], p2[a], p3[a]);
                let (linear, square) = (v2 - v0, 2.0 * v0 - 5.0 * v1 + 4.0 * v2 - v3);
                let cube = 3.0 * (v1 - v2) + v3 - v0;
                v1 + 0.5 * t * (linear + t * (square + t * cube))
            })
        }));
    }
    line
}

/// A slight slant and turn and a slow wave; strokes that meet still do.
fn distort(lines: &mut [Vec<Point>], rng: &mut Rng) {
    let mut within = |limit: f32| (2.0 * rng.f32() - 1.0) * limit;
    // Writing leans to the right more often than to the left.
    let (slant, turn) = (0.08 + within(0.1), within(0.06));
    let (phase_x, phase_y) = (within(3.0), within(3.0));
    each_point(lines, |[x, y]| {
        let (x, y) = (x - slant * y + turn * y, y + turn * x);
        [x + 0.25 * (0.5 * y + phase_x).sin(), y + 0.25 * (0.6 * x + phase_y).sin()]
    });
}

/// Scales so that the longer side, with the pen's width, fills the box.
fn fit(lines: &mut [Vec<Point>]) {
    let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    for point in lines.iter().flatten() {
        for axis in [0, 1] {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    let extent = (high[0] - low[0]).max(high[1] - low[1]);
    let scale = (BOX - 2.0 * RADIUS) / extent;
    let middle = SIDE as f32 / 2.0;
    each_point(lines, |point| {
        [0, 1].map(|axis| (point[axis] - (low[axis] + high[axis]) / 2.0) * scale + middle)
    });
}

fn each_point(lines: &mut [Vec<Point>], change: impl Fn(Point) -> Point) {
    lines.iter_mut().flatten().for_each(|point| *point = change(*point));
}

/// Each pixel is as bright as the pen covers it, judged by the distance of its centre.
fn render(lines: &[Vec<Point>]) -> Vec<u8> {
    let pixel = |i: usize| {
        let center = [(i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5];
        let pieces = lines.iter().flat_map(|line| line.windows(2));
        let distance = pieces.map(|ends| distance(center, ends[0], ends[1]));
        let coverage = RADIUS + 0.5 - distance.fold(f32::INFINITY, f32::min);
        (255.0 * coverage.clamp(0.0, 1.0)).round() as u8
    };
    (0..SIDE * SIDE).map(pixel).collect()
}

/// Distance of a point from a straight piece.
fn distance(point: Point, from: Point, to: Point) -> f32 {
    let (along, offset) = (sub(to, from), sub(point, from));
    let length = along[0] * along[0] + along[1] * along[1];
    let t = if length > 0.0 { (offset[0] * along[0] + offset[1] * along[1]) / length } else { 0.0 };
    let t = t.clamp(0.0, 1.0);
    let [x, y] = sub(offset, [along[0] * t, along[1] * t]);
    x.hypot(y)
}

fn sub(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

fn center_of_mass(pixels: &[u8]) -> Point {
    let (mut sum, mut moment) = (0.0, [0.0; 2]);
    for (i, &pixel) in pixels.iter().enumerate() {
        let weight = f32::from(pixel);
        sum += weight;
        moment[0] += weight * ((i % SIDE) as f32 + 0.5);
        moment[1] += weight * ((i / SIDE) as f32 + 0.5);
    }
    moment.map(|m| m / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_pass_through_their_points() {
        let points = [[0.0, 0.0], [4.0, 1.0], [3.0, 6.0], [0.0, 0.0]];
        let line = catmull_rom(&points);
        assert_eq!(line.len(), 3 * PIECES + 1);
        for (i, point) in points.iter().enumerate() {
            let [dx, dy] = sub(line[i * PIECES], *point);
            assert!(dx.hypot(dy) < 1e-5);
        }
    }

    #[test]
    fn distances_from_a_piece() {
        assert_eq!(distance([0.0, 3.0], [-1.0, 0.0], [1.0, 0.0]), 3.0);
        assert_eq!(distance([4.0, 4.0], [-1.0, 0.0], [1.0, 0.0]), 5.0);
        assert_eq!(distance([3.0, 4.0], [0.0, 0.0], [0.0, 0.0]), 5.0);
    }
}
