// Pixels that follow flows, and heat that spreads through cells (AssemblyScript).
//
// A port of src/cellpose/dynamics/_cpu/_follow_kernels.py and _kernels.py for planes, with the same operations in the
// same order: results are the same to the last bit. Arguments are addresses in bytes and lengths in numbers.

const REACH: i32 = 5; // pixels of the rim around an image in which ends are counted
const CHECK: i32 = 4; // steps between looks for pixels at rest
const MOST: f32 = 1e30; // flows above are not finite for our purposes
const SCALE: f32 = 5; // the network gives 5 times the unit flows
const INV_SCALE: f64 = 0.2; // 1 / 5

/** Flows / 5 where `cellprob > threshold`, else zero, as (rows + 1, columns + 1, 2); the last row and column are zero. */
function fillField(flows: usize, cellprob: usize, rows: i32, columns: i32, threshold: f32, field: usize): void {
  const area = <usize>(rows * columns) << 2;
  memory.fill(field, 0, <usize>((rows + 1) * (columns + 1)) << 3);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const i = <usize>(y * columns + x) << 2;
      if (!(load<f32>(cellprob + i) > threshold)) continue;
      const to = field + (<usize>(y * (columns + 1) + x) << 3);
      const dy = load<f32>(flows + i) / SCALE, dx = load<f32>(flows + area + i) / SCALE;
      if (abs(dy) < MOST) store<f32>(to, dy);
      if (abs(dx) < MOST) store<f32>(to, dx, 4);
    }
  }
}

/**
 * For each cell pixel the index, in an image with a rim of REACH pixels, of the pixel it ends in after `niter` steps
 * along the flow, linear between pixels; -1 in the background.
 *
 * Pixels that stand where they stood four steps ago are at rest, or in a cycle of 1, 2 or 4 steps: since the steps left
 * are a multiple of four, they end where they are.
 */
export function ends(
  flows: usize, cellprob: usize, rows: i32, columns: i32, threshold: f32, niter: i32, field: usize, out: usize,
): void {
  fillField(flows, cellprob, rows, columns, threshold, field);
  const width = columns + 1, rowBytes = <usize>width << 3;
  const limits = f32x4(<f32>(rows - 1), <f32>(columns - 1), 0, 0), zero = f32x4.splat(0);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const at = <usize>(y * columns + x) << 2;
      if (!(load<f32>(cellprob + at) > threshold)) {
        store<i32>(out + at, -1);
        continue;
      }
      let position = f32x4(<f32>y, <f32>x, 0, 0), before = f32x4.splat(-1);
      for (let step = 0; step < niter; step++) {
        const whole = i32x4.trunc_sat_f32x4_s(position);
        const part = f32x4.sub(position, f32x4.convert_i32x4_s(whole));
        const from = field + (<usize>(i32x4.extract_lane(whole, 0) * width + i32x4.extract_lane(whole, 1)) << 3);
        const top = v128.load(from), bottom = v128.load(from + rowBytes); // y and x of the left and the right pixel
        const fy = v128.shuffle<f32>(part, part, 0, 0, 0, 0), fx = v128.shuffle<f32>(part, part, 1, 1, 1, 1);
        const left = f32x4.add(top, f32x4.mul(fy, f32x4.sub(bottom, top)));
        const right = v128.shuffle<f32>(left, left, 2, 3, 2, 3);
        const moved = f32x4.add(position, f32x4.add(left, f32x4.mul(fx, f32x4.sub(right, left))));
        position = f32x4.pmin(f32x4.pmax(zero, moved), limits);
        if ((niter - step - 1) % CHECK == 0) {
          if (!v128.any_true(v128.and(f32x4.ne(position, before), i32x4(-1, -1, 0, 0)))) break;
          before = position;
        }
      }
      const row = <i32>f32x4.extract_lane(position, 0), column = <i32>f32x4.extract_lane(position, 1);
      store<i32>(out + at, (row + REACH) * (columns + 2 * REACH) + column + REACH);
    }
  }
}

// ---------------------------------------------------------------------------------------------------- heat in cells

/**
 * Box of the pixels that heat can reach from the source, through any of 8 neighbours, into `region`: y0, y1, x0, x1.
 * The box of the label itself if the label fills most of it, since then the search would not pay.
 */
function reach(
  labels: usize, columns: i32, label: i32, y0: i32, y1: i32, x0: i32, x1: i32, cy: i32, cx: i32, region: usize,
  room: usize,
): void {
  let n = 0;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) n += i32(load<i32>(labels + (<usize>(y * columns + x) << 2)) == label);
  }
  const height = y1 - y0, width = x1 - x0;
  let lowY = y0, highY = y1, lowX = x0, highX = x1;
  if (2 * n < height * width) {
    const met = room, stack = room + ((<usize>(height * width) + 7) & ~7);
    memory.fill(met, 0, height * width);
    store<i32>(stack, cy);
    store<i32>(stack, cx, 4);
    store<u8>(met + (cy - y0) * width + cx - x0, 1);
    let top = 1;
    lowY = cy; highY = cy + 1; lowX = cx; highX = cx + 1;
    while (top > 0) {
      top--;
      const y = load<i32>(stack + (<usize>top << 3)), x = load<i32>(stack + (<usize>top << 3), 4);
      lowY = min(lowY, y); highY = max(highY, y + 1);
      lowX = min(lowX, x); highX = max(highX, x + 1);
      for (let v = max(y - 1, y0); v < min(y + 2, y1); v++) {
        for (let u = max(x - 1, x0); u < min(x + 2, x1); u++) {
          const flag = met + (v - y0) * width + u - x0;
          if (load<i32>(labels + (<usize>(v * columns + u) << 2)) != label || load<u8>(flag)) continue;
          store<u8>(flag, 1);
          store<i32>(stack + (<usize>top << 3), v);
          store<i32>(stack + (<usize>top << 3), u, 4);
          top++;
        }
      }
    }
  }
  store<i32>(region, lowY);
  store<i32>(region, highY, 4);
  store<i32>(region, lowX, 8);
  store<i32>(region, highX, 12);
}

/** Mean of 3 x 3 numbers times 9 times the weight, of two places, in the order of the parity fixtures. */
// @ts-ignore: decorator
@inline
function meanNine(weight: usize, heat: usize, stride: usize, out: usize): void {
  const above = heat - stride, below = heat + stride;
  let total = f64x2.add(v128.load(heat), v128.load(above));
  total = f64x2.add(total, v128.load(below));
  total = f64x2.add(total, v128.load(heat - 8));
  total = f64x2.add(total, v128.load(heat + 8));
  total = f64x2.add(total, v128.load(above - 8));
  total = f64x2.add(total, v128.load(above + 8));
  total = f64x2.add(total, v128.load(below - 8));
  total = f64x2.add(total, v128.load(below + 8));
  v128.store(out, f64x2.mul(v128.load(weight), total));
}

/** Bytes of room that `errors` needs for cells whose boxes are at most this large. */
export function errorsRoom(height: i32, width: i32): usize {
  const numbers = (height + 3) * (width + 1) + 4;
  return 64 + <usize>max(3 * numbers * 8, height * width * 9 + 16);
}

/**
 * For each cell the mean over its pixels of the squared difference between its unit flows and those of the network.
 *
 * `boxes` are int32 (n, 6): label, y0, y1, x0, x1 and 0; `centres` int32 (n, 2); `flows` float32 (2, rows, columns);
 * `out` float64 (n). Heat is added at the centre, then every pixel becomes the mean of its 3 x 3 neighbours, outside 0.
 */
export function errors(
  labels: usize, rows: i32, columns: i32, boxes: usize, centres: usize, n: i32, flows: usize, out: usize, room: usize,
): void {
  const region = room, work = room + 64;
  for (let k = 0; k < n; k++) {
    const box = boxes + k * 24;
    const label = load<i32>(box), y0 = load<i32>(box, 4), y1 = load<i32>(box, 8);
    const x0 = load<i32>(box, 12), x1 = load<i32>(box, 16);
    const cy = load<i32>(centres + k * 8), cx = load<i32>(centres + k * 8, 4);
    reach(labels, columns, label, y0, y1, x0, x1, cy, cx, region, work);
    const niter = 2 * (y1 - y0 + x1 - x0 + 4);
    const heat = spread(labels, columns, label, region, cy, cx, niter, work);
    store<f64>(out + (<usize>k << 3), errorOf(labels, rows, columns, label, box, region, heat, flows));
  }
}

/** Heat after `niter` steps: pixel (y, x) of the region at number `1 + (y + 1) * stride + x`. */
function spread(
  labels: usize, columns: i32, label: i32, region: usize, cy: i32, cx: i32, niter: i32, work: usize,
): usize {
  const y0 = load<i32>(region), y1 = load<i32>(region, 4), x0 = load<i32>(region, 8), x1 = load<i32>(region, 12);
  const h = y1 - y0, stride = x1 - x0 + 1, rowBytes = <usize>stride << 3;
  const size = <usize>((h + 3) * stride + 4) << 3;
  let heat = work, other = work + size;
  const weight = work + 2 * size;
  memory.fill(work, 0, 3 * size);
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      if (load<i32>(labels + (<usize>(y * columns + x) << 2)) != label) continue;
      store<f64>(weight + (<usize>(1 + (y - y0 + 1) * stride + x - x0) << 3), 1.0 / 9.0);
    }
  }
  const row = cy - y0 + 1, column = cx - x0;
  const centre = <usize>(1 + row * stride + column) << 3;
  for (let step = 1; step <= niter; step++) {
    store<f64>(heat + centre, load<f64>(heat + centre) + 1);
    const first = max(0, column - step), last = min(stride, column + step + 1);
    for (let y = max(1, row - step); y <= min(h, row + step); y++) {
      const start = <usize>(1 + y * stride) << 3;
      for (let x = first; x < last; x += 2) {
        const at = start + (<usize>x << 3);
        meanNine(weight + at, heat + at, rowBytes, other + at);
      }
    }
    const swap = heat;
    heat = other;
    other = swap;
  }
  return heat;
}

function errorOf(
  labels: usize, rows: i32, columns: i32, label: i32, box: usize, region: usize, heat: usize, flows: usize,
): f64 {
  const y0 = load<i32>(region), y1 = load<i32>(region, 4), x0 = load<i32>(region, 8), x1 = load<i32>(region, 12);
  const stride = x1 - x0 + 1, area = <usize>(rows * columns) << 2;
  let total: f64 = 0, n = 0;
  for (let y = load<i32>(box, 4); y < load<i32>(box, 8); y++) {
    for (let x = load<i32>(box, 12); x < load<i32>(box, 16); x++) {
      const i = <usize>(y * columns + x) << 2;
      if (load<i32>(labels + i) != label) continue;
      let uy: f64 = 0, ux: f64 = 0;
      if (y >= y0 && y < y1 && x >= x0 && x < x1) {
        const at = heat + (<usize>(1 + (y - y0 + 1) * stride + x - x0) << 3), step = <usize>stride << 3;
        const dy = load<f64>(at + step) - load<f64>(at - step), dx = load<f64>(at + 8) - load<f64>(at - 8);
        const norm = 1e-60 + sqrt(dy * dy + dx * dx);
        uy = dy / norm;
        ux = dx / norm;
      }
      const ey = uy - INV_SCALE * <f64>load<f32>(flows + i), ex = ux - INV_SCALE * <f64>load<f32>(flows + area + i);
      total += ey * ey + ex * ex;
      n++;
    }
  }
  return total / <f64>n;
}
